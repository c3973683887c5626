// Package header has the type of scraped answers.
package header

// ProtobufMIMEType is that type.
const ProtobufMIMEType = "application/protobuf"
