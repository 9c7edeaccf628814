package api

import "net/http"

func (s *server) showReport(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	t, err := s.b.TestReport(r.Context(), r.PathValue("id"))
	return answer(w, http.StatusOK, t, err)
}
