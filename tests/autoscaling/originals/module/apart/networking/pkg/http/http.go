// Package http knows answers of a service mesh.
package http

import "net/http"

// IsPotentialMeshErrorResponse tells whether a mesh may have made an answer.
func IsPotentialMeshErrorResponse(*http.Response) bool { return false }
