// Package history keeps the evaluations of gates: it lists them by service and
// stage, hands out earlier ones to compare with, and knows which were
// invalidated.
//
// An evaluation is a blob, its row a line in an index file:
//
//	Put ──► blob, synced ──► line, synced ──► row in memory
//	            └── a crash here: the step is done again, with the same id
//
// The last line of an id holds. A line that a crash cut off is dropped, and its
// step is done again, too.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/fairwaycd/fairway"
)

// Blobs keep evaluations whole. Get of one that is not there gives an error of
// kind not found.
type Blobs interface {
	Put(ctx context.Context, name string, body []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	Remove(ctx context.Context, name string) error
	Names() ([]string, error)
}

// The lengths of lists.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

type row struct {
	Seq uint64 `json:"seq"` // of the first time that it was stored
	fairway.EvaluationSummary
}

type place struct {
	project fairway.ProjectName
	stage   fairway.StageName
	service fairway.ServiceName
}

func (r row) place() place { return place{r.Project, r.Stage, r.Service} }

// Store keeps evaluations. It is safe for concurrent use.
type Store struct {
	blobs  Blobs
	logger *slog.Logger

	mu      sync.RWMutex
	index   *index
	rows    map[string]*row
	all     []*row           // by Seq
	byPlace map[place][]*row // by Seq
	seq     uint64
}

// Open reads the index at path. Where there is none, it is made from the
// evaluations that lie among the blobs.
func Open(ctx context.Context, path string, b Blobs, logger *slog.Logger) (*Store, error) {
	s := &Store{blobs: b, logger: logger, rows: map[string]*row{}, byPlace: map[place][]*row{}}
	_, err := os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if s.index, err = openIndex(path, s.load); err != nil {
		return nil, fmt.Errorf("read the index of evaluations: %w", err)
	}
	s.sort()
	if missing {
		err = s.rebuild(ctx)
	} else if s.index.lines > 2*len(s.all)+1000 {
		err = s.compact()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the index of evaluations: %w", err), s.Close())
	}
	return s, nil
}

// Close ends the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.file.Close()
}

// load takes over a line.
func (s *Store) load(l line) {
	for _, id := range l.Gone {
		delete(s.rows, id)
	}
	if l.Row != nil {
		s.rows[l.Row.ID] = l.Row
		s.seq = max(s.seq, l.Row.Seq)
	}
}

// sort makes the lists anew from the rows.
func (s *Store) sort() {
	s.all, s.byPlace = s.all[:0], map[place][]*row{}
	for _, r := range s.rows {
		s.all = append(s.all, r)
	}
	slices.SortFunc(s.all, func(a, b *row) int { return int(int64(a.Seq) - int64(b.Seq)) })
	for _, r := range s.all {
		s.byPlace[r.place()] = append(s.byPlace[r.place()], r)
	}
}

func (s *Store) rebuild(ctx context.Context) error {
	names, err := s.blobs.Names()
	if err != nil {
		return err
	}
	var found []fairway.Evaluation
	for _, name := range names {
		body, err := s.blobs.Get(ctx, name)
		var e fairway.Evaluation
		if err == nil && json.Unmarshal(body, &e) == nil && e.ID == name && e.Verdict != "" {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b fairway.Evaluation) int { return a.EvaluatedAt.Compare(b.EvaluatedAt) })
	for _, e := range found {
		s.seq++
		s.rows[e.ID] = &row{s.seq, summary(e)}
	}
	s.sort()
	return s.compact()
}

func (s *Store) compact() error {
	lines := make([]line, len(s.all))
	for i, r := range s.all {
		lines[i] = line{Row: r}
	}
	return s.index.replace(lines)
}

func summary(e fairway.Evaluation) fairway.EvaluationSummary {
	return fairway.EvaluationSummary{ID: e.ID, Project: e.Subject.Project, Stage: e.Subject.Stage, Service: e.Subject.Place.Service,
		Colour: e.Subject.Place.Colour, Delivery: e.Subject.Delivery, Version: e.Subject.Version, Verdict: e.Verdict,
		TotalScore: e.TotalScore, EvaluatedAt: e.EvaluatedAt, Invalidated: e.Invalidated}
}

// Put stores the evaluation durably, replacing the one of the same test run,
// whose place in the lists and invalidation remain.
func (s *Store) Put(ctx context.Context, e fairway.Evaluation) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode the evaluation: %w", err)
	}
	if err := s.blobs.Put(ctx, e.ID, body); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &row{s.seq + 1, summary(e)}
	old := s.rows[e.ID]
	if old != nil {
		r.Seq, r.Invalidated = old.Seq, old.Invalidated
	}
	if err := s.index.append(line{Row: r}); err != nil {
		return fmt.Errorf("list the evaluation: %w", err)
	}
	if old != nil {
		*old = *r
		return nil
	}
	s.seq, s.rows[e.ID], s.all = r.Seq, r, append(s.all, r)
	s.byPlace[r.place()] = append(s.byPlace[r.place()], r)
	return nil
}

// Get returns an evaluation whole; of kind not found when there is none.
func (s *Store) Get(ctx context.Context, id string) (e fairway.Evaluation, err error) {
	body, err := s.blobs.Get(ctx, id)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("read evaluation %s: %w", id, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.rows[id]; r != nil {
		e.Invalidated = r.Invalidated
	}
	return e, nil
}

// List returns the newest evaluations that f selects. Next is the filter's
// Before for those that follow; empty when there are none.
func (s *Store) List(f fairway.EvaluationFilter) (fairway.EvaluationPage, error) {
	before := uint64(1<<64 - 1)
	if f.Before != "" {
		n, err := strconv.ParseUint(f.Before, 10, 64)
		if err != nil {
			return fairway.EvaluationPage{}, fairway.Invalid("before", f.Before, "is not where a list goes on", "use the value of next in the page before")
		}
		before = n
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	s.mu.RLock()
	defer s.mu.RUnlock()
	rows := s.all
	if f.Project != "" && f.Stage != "" && f.Service != "" {
		rows = s.byPlace[place{f.Project, f.Stage, f.Service}]
	}
	page := fairway.EvaluationPage{Items: []fairway.EvaluationSummary{}}
	last := uint64(0)
	for _, r := range slices.Backward(rows) {
		if r.Seq >= before || !f.Selects(r.EvaluationSummary) {
			continue
		}
		if len(page.Items) == limit {
			page.Next = strconv.FormatUint(last, 10)
			break
		}
		page.Items, last = append(page.Items, r.EvaluationSummary), r.Seq
	}
	return page, nil
}

// Earlier returns up to n evaluations of the same service and stage with one
// of the verdicts, the newest first: neither the one with the id self nor
// invalidated ones.
func (s *Store) Earlier(ctx context.Context, of fairway.Subject, self string, verdicts []fairway.Verdict, n int) ([]fairway.Evaluation, error) {
	var ids []string
	s.mu.RLock()
	for _, r := range slices.Backward(s.byPlace[place{of.Project, of.Stage, of.Place.Service}]) {
		if len(ids) == n {
			break
		}
		if r.ID != self && r.Invalidated == nil && slices.Contains(verdicts, r.Verdict) {
			ids = append(ids, r.ID)
		}
	}
	s.mu.RUnlock()
	var out []fairway.Evaluation
	for _, id := range ids {
		e, err := s.Get(ctx, id)
		if fairway.KindOf(err) == fairway.KindNotFound {
			s.logger.Warn("an evaluation is listed and not there; it is not compared with", "evaluation", id)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Invalidate marks an evaluation, durably. One that is marked already keeps
// its first mark.
func (s *Store) Invalidate(id string, i fairway.Invalidation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.rows[id]
	if old == nil {
		return fairway.Errorf(fairway.KindNotFound, "there is no evaluation %s; list them: fairway get evaluations", id)
	}
	if old.Invalidated != nil {
		return nil
	}
	marked := *old
	marked.Invalidated = &i
	if err := s.index.append(line{Row: &marked}); err != nil {
		return fmt.Errorf("mark evaluation %s: %w", id, err)
	}
	*old = marked
	return nil
}

// RemoveDelivery removes a delivery's evaluations. Rows go only when their
// blobs are gone, so that what is cut short is done again.
func (s *Store) RemoveDelivery(ctx context.Context, d fairway.DeliveryID) error {
	var ids []string
	s.mu.RLock()
	for _, r := range s.all {
		if r.Delivery == d {
			ids = append(ids, r.ID)
		}
	}
	s.mu.RUnlock()
	for _, id := range ids {
		if err := s.blobs.Remove(ctx, id); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.index.append(line{Gone: ids}); err != nil {
		return fmt.Errorf("take evaluations off the list: %w", err)
	}
	for _, id := range ids {
		r := s.rows[id]
		if r == nil {
			continue
		}
		delete(s.rows, id)
		is := func(x *row) bool { return x == r }
		s.all = slices.DeleteFunc(s.all, is)
		s.byPlace[r.place()] = slices.DeleteFunc(s.byPlace[r.place()], is)
	}
	return nil
}
