package api

import "net/http"

func (s *server) listTargets(w http.ResponseWriter, r *http.Request) error {
	ts, err := s.b.Targets(r.Context())
	if err != nil {
		return err
	}
	return answerPart(w, r, "t", ts, func(t TargetState) string { return t.Job + " " + t.URL })
}
