package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// maxBody bounds a request's body in bytes.
const maxBody = 64 << 10

// server answers for the carts.
type server struct {
	version   string
	carts     *store
	metrics   metrics
	delay     atomic.Int64 // milliseconds
	promotion atomic.Int64 // percent
}

func newServer(c config) http.Handler {
	s := &server{version: c.version, carts: newStore(maxCarts)}
	s.delay.Store(c.delay.Milliseconds())
	s.promotion.Store(int64(c.promotion))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", s.getVersion)
	mux.HandleFunc("GET /health", s.getHealth)
	mux.HandleFunc("GET /carts/{id}", s.getCart)
	mux.HandleFunc("DELETE /carts/{id}", s.deleteCart)
	mux.HandleFunc("GET /carts/{id}/merge", s.mergeCarts)
	mux.HandleFunc("GET /carts/{id}/items", s.getItems)
	mux.HandleFunc("POST /carts/{id}/items", s.postItem)
	mux.HandleFunc("PATCH /carts/{id}/items", s.patchItem)
	mux.HandleFunc("GET /carts/{id}/items/{itemId}", s.getItem)
	mux.HandleFunc("DELETE /carts/{id}/items/{itemId}", s.deleteItem)
	mux.HandleFunc("GET /carts/{id}/items/health", func(w http.ResponseWriter, _ *http.Request) { text(w, "OK") })
	mux.HandleFunc("GET /carts/{id}/items/delay/{value}", set(&s.delay, "delay in milliseconds", maxDelay))
	mux.HandleFunc("GET /carts/{id}/items/promotion/{value}", set(&s.promotion, "promotion rate in percent", 100))
	if c.prometheus {
		// Some scrapers know no path but /metrics.
		mux.HandleFunc("GET /prometheus", s.getMetrics)
		mux.HandleFunc("GET /metrics", s.getMetrics)
	}
	return mux
}

func (s *server) getVersion(w http.ResponseWriter, _ *http.Request) { text(w, "Version = "+s.version) }

func (s *server) getHealth(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		Service string    `json:"service"`
		Status  string    `json:"status"`
		Date    time.Time `json:"date"`
	}
	reply(w, http.StatusOK, map[string][]entry{"health": {{"carts", "OK", time.Now().UTC()}}})
}

func (s *server) getMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(s.metrics.text())
}

func (s *server) getCart(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, s.carts.cart(r.PathValue("id")))
}

func (s *server) deleteCart(w http.ResponseWriter, r *http.Request) {
	s.carts.remove(r.PathValue("id"))
	w.WriteHeader(http.StatusAccepted)
}

func (s *server) mergeCarts(w http.ResponseWriter, r *http.Request) {
	session := r.URL.Query().Get("sessionId")
	if session == "" {
		fail(w, http.StatusBadRequest, errors.New("sessionId is missing; ask for /carts/ID/merge?sessionId=SESSION"))
		return
	}
	if err := s.carts.merge(r.PathValue("id"), session); err != nil {
		fail(w, http.StatusConflict, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *server) getItems(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, s.carts.cart(r.PathValue("id")).Items)
}

// postItem adds an item. It is the only call that is measured and the one
// that the delay and the promotion rate spoil. A call that its client gave up
// is not measured: it would make a slow version look fast.
func (s *server) postItem(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	defer func() {
		if r.Context().Err() == nil {
			s.metrics.observe(time.Since(start))
		}
	}()
	added, err := readItem(w, r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if delay := s.delay.Load(); delay > 0 {
		select {
		case <-time.After(time.Duration(delay) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	if rate := s.promotion.Load(); rate > 0 && rand.Int64N(100) < rate {
		fail(w, http.StatusInternalServerError, fmt.Errorf("the promotion failed, as %d of 100 calls do", rate))
		return
	}
	stored, err := s.carts.add(r.PathValue("id"), added)
	if err != nil {
		fail(w, http.StatusConflict, err)
		return
	}
	reply(w, http.StatusCreated, stored)
}

func (s *server) patchItem(w http.ResponseWriter, r *http.Request) {
	changed, err := readItem(w, r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if err := s.carts.update(r.PathValue("id"), changed); err != nil {
		fail(w, http.StatusNotFound, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *server) getItem(w http.ResponseWriter, r *http.Request) {
	c := s.carts.cart(r.PathValue("id"))
	i := c.find(r.PathValue("itemId"))
	if i < 0 {
		fail(w, http.StatusNotFound, errNoItem)
		return
	}
	reply(w, http.StatusOK, c.Items[i])
}

func (s *server) deleteItem(w http.ResponseWriter, r *http.Request) {
	s.carts.removeItem(r.PathValue("id"), r.PathValue("itemId"))
	w.WriteHeader(http.StatusAccepted)
}

// set returns a handler that changes a setting of this process until it ends.
func set(value *atomic.Int64, name string, most int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := bounded(r.PathValue("value"), most)
		if err != nil {
			fail(w, http.StatusBadRequest, fmt.Errorf("%s: %w", name, err))
			return
		}
		value.Store(int64(n))
		text(w, fmt.Sprintf("%s = %d", name, n))
	}
}

func readItem(w http.ResponseWriter, r *http.Request) (item, error) {
	var i item
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(body, &i); err != nil {
		return i, fmt.Errorf("the body is not an item: %w", err)
	}
	if i.ItemID == "" || len(i.ItemID) > 200 || i.Quantity < 0 || i.UnitPrice < 0 {
		return i, errors.New("an item needs an itemId of 1 to 200 characters, and neither quantity nor unitPrice below zero")
	}
	return i, nil
}

func text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, s)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, err error) {
	reply(w, status, map[string]string{"error": err.Error()})
}
