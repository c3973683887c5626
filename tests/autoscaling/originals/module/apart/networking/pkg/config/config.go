// Package config has the settings of networking that autoscaling's packages name.
package config

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HTTPProtocol, EncryptionConfig and MeshCompatibilityMode are settings.
type (
	HTTPProtocol          string
	EncryptionConfig      string
	MeshCompatibilityMode string
)

// Their values.
const (
	HTTPEnabled                   HTTPProtocol          = "enabled"
	HTTPDisabled                  HTTPProtocol          = "disabled"
	HTTPRedirected                HTTPProtocol          = "redirected"
	EncryptionEnabled             EncryptionConfig      = "enabled"
	MeshCompatibilityModeEnabled  MeshCompatibilityMode = "enabled"
	MeshCompatibilityModeDisabled MeshCompatibilityMode = "disabled"
)

// Config has settings.
type Config struct {
	HTTPProtocol                  HTTPProtocol
	ExternalDomainTLS             bool
	ClusterLocalDomainTLS         EncryptionConfig
	NamespaceWildcardCertSelector *metav1.LabelSelector
}

// SystemInternalTLSEnabled tells whether system components speak TLS.
func (c *Config) SystemInternalTLSEnabled() bool { return false }
