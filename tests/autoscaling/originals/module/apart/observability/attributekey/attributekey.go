// Package attributekey has the names of attributes of Knative's own metrics.
package attributekey

import "go.opentelemetry.io/otel/attribute"

// String is the name of an attribute that is text.
type String string

// With returns the attribute with a value.
func (k String) With(value string) attribute.KeyValue {
	return attribute.String(string(k), value)
}
