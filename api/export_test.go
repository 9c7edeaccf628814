package api

import (
	"net/http"

	"github.com/fairwaycd/fairway"
)

// Routes returns the methods of every route.
func Routes() map[string][]string {
	s := &server{o: ServerOptions{ReadEvents: func(*http.Request, int64) ([]fairway.Event, error) { return nil, nil }}}
	routes := map[string][]string{}
	for path, m := range s.routes() {
		for name := range m {
			routes[path] = append(routes[path], name)
		}
	}
	return routes
}
