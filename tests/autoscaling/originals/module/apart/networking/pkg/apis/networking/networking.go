// Package networking has the names that autoscaling's kinds share with networking's.
package networking

import (
	"context"

	"knative.dev/pkg/apis"
)

// GroupName is the group of networking's kinds.
const GroupName = "networking.internal.knative.dev"

// ProtocolType is the protocol that a revision speaks.
type ProtocolType string

// Validate finds nothing wrong with it.
func (ProtocolType) Validate(context.Context) *apis.FieldError { return nil }

// GetHTTPProtocol returns the protocol that annotations name.
func GetHTTPProtocol(annotations map[string]string) string {
	return annotations["networking.knative.dev/http-protocol"]
}
