// Package v1alpha1 has the modes of plain HTTP.
package v1alpha1

// HTTPOption is such a mode.
type HTTPOption string

// The modes.
const (
	HTTPOptionEnabled    HTTPOption = "Enabled"
	HTTPOptionRedirected HTTPOption = "Redirected"
)
