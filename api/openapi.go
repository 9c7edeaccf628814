package api

import (
	_ "embed"
	"net/http"
	"slices"
)

// document is the OpenAPI document: made from the routes, the Go types and
// their comments by go test ./api -update, and kept in step by that test.
//
//go:embed openapi.json
var document []byte

// OpenAPI returns the OpenAPI 3.1 document of the API, as JSON.
func OpenAPI() []byte { return slices.Clone(document) }

func (s *server) showDocument(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, Raw(document))
}
