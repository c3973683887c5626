// Package semconv has an attribute of Knative's own metrics.
package semconv

import "go.opentelemetry.io/otel/attribute"

// K8SNamespaceName is the attribute with the name of a namespace.
func K8SNamespaceName(name string) attribute.KeyValue {
	return attribute.String("k8s.namespace.name", name)
}
