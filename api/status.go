package api

import "net/http"

func (s *server) showStatus(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	st, err := s.b.Status(r.Context())
	return answer(w, http.StatusOK, st, err)
}
