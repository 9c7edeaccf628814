package api

import "net/http"

func (s *server) listRoutes(w http.ResponseWriter, r *http.Request) error {
	rs, err := s.b.Routes(r.Context())
	if err != nil {
		return err
	}
	return answerPart(w, r, "r", rs, func(t RouteState) string { return string(t.Namespace) + "/" + string(t.Service) })
}
