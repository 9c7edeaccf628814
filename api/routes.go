package api

import "net/http"

func (s *server) listRoutes(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	rs, err := s.b.Routes(r.Context())
	return answerList(w, http.StatusOK, rs, err)
}
