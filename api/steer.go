package api

import "net/http"

func (s *server) retry(w http.ResponseWriter, r *http.Request) error {
	var q RetryRequest
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	if err := fromPath("delivery", &q.Delivery, r.PathValue("id")); err != nil {
		return err
	}
	idOf(r, &q.ID)
	done, err := s.b.Retry(r.Context(), q)
	return answer(w, http.StatusAccepted, done, err)
}

func (s *server) rollBack(w http.ResponseWriter, r *http.Request) error {
	var q Rollback
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	if err := servicePath(r, &q.Project, &q.Service); err != nil {
		return err
	}
	idOf(r, &q.ID)
	done, err := s.b.RollbackService(r.Context(), q)
	return answer(w, http.StatusAccepted, done, err)
}

func (s *server) setRoute(w http.ResponseWriter, r *http.Request) error {
	var q SetRoute
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	if err := servicePath(r, &q.Project, &q.Service); err != nil {
		return err
	}
	state, err := s.b.SetRoute(r.Context(), q)
	return answer(w, http.StatusOK, state, err)
}
