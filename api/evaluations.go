package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

func (s *server) showEvaluation(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	e, err := s.b.Evaluation(r.Context(), r.PathValue("id"))
	return answer(w, http.StatusOK, e, err)
}

// verdicts are the values of the filter "result".
var verdicts = []string{
	string(fairway.VerdictPass), string(fairway.VerdictWarning), string(fairway.VerdictFail), string(fairway.VerdictError), string(fairway.VerdictNotJudged),
}

func (s *server) listEvaluations(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "project", "stage", "service", "result", "before", "limit")
	if err != nil {
		return err
	}
	f := fairway.EvaluationFilter{
		Project: fairway.ProjectName(q.text("project")), Stage: fairway.StageName(q.text("stage")), Service: fairway.ServiceName(q.text("service")),
		Verdict: fairway.Verdict(q.text("result")), Before: q.text("before"), Limit: int(q.number("limit", 31)),
	}
	if f.Verdict != "" && !slices.Contains(verdicts, string(f.Verdict)) {
		q.add("result", string(f.Verdict), "is not a result", "use one of "+strings.Join(verdicts, ", "))
	}
	if err := q.err(); err != nil {
		return err
	}
	page, err := s.b.Evaluations(r.Context(), f)
	return answer(w, http.StatusOK, page, err)
}

func (s *server) invalidateEvaluation(w http.ResponseWriter, r *http.Request) error {
	var q InvalidateEvaluation
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	if err := fromPath("evaluation", &q.Evaluation, r.PathValue("id")); err != nil {
		return err
	}
	e, err := s.b.InvalidateEvaluation(r.Context(), q)
	return answer(w, http.StatusOK, e, err)
}
