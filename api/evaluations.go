package api

import "net/http"

func (s *server) showEvaluation(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	e, err := s.b.Evaluation(r.Context(), r.PathValue("id"))
	return answer(w, http.StatusOK, e, err)
}
