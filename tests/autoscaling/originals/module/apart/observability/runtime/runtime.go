// Package runtime has the port of Knative's profiler.
package runtime

// ProfilingDefaultPort is that port.
const ProfilingDefaultPort = 8008
