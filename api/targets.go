package api

import "net/http"

func (s *server) listTargets(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	ts, err := s.b.Targets(r.Context())
	return answerList(w, http.StatusOK, ts, err)
}
