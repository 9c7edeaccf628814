package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// newHandler answers:
//
//	GET    /health           {"status":"OK","keys":N}
//	GET    /keys?prefix=P    the keys, sorted, as a JSON list
//	GET    /keys/{key}       the value as it was put, or 404
//	PUT    /keys/{key}       204 once it is stored
//	DELETE /keys/{key}       204, also when there was none
func newHandler(s *store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.healthy(); err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, map[string]any{"status": "OK", "keys": len(s.keys(""))})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, s.keys(r.URL.Query().Get("prefix")))
	})
	mux.HandleFunc("GET /keys/{key...}", func(w http.ResponseWriter, r *http.Request) {
		value, err := s.get(r.PathValue("key"))
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(value)
	})
	mux.HandleFunc("PUT /keys/{key...}", func(w http.ResponseWriter, r *http.Request) {
		value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
		if err == nil {
			err = s.put(r.PathValue("key"), value)
		}
		done(w, err)
	})
	mux.HandleFunc("DELETE /keys/{key...}", func(w http.ResponseWriter, r *http.Request) {
		done(w, s.remove(r.PathValue("key")))
	})
	return mux
}

func done(w http.ResponseWriter, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// fail answers with the status that the error stands for.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, errNoKey):
		status = http.StatusNotFound
	case errors.Is(err, errBadKey):
		status = http.StatusBadRequest
	case errors.Is(err, errFull):
		status = http.StatusInsufficientStorage
	case errors.As(err, &large):
		status = http.StatusRequestEntityTooLarge
	}
	reply(w, status, map[string]string{"error": err.Error()})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
