package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// writeJSON answers with v. Nothing has been written when it returns an
// error.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if held, ok := w.(*held); ok {
		held.v = v
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the asker has left if this fails
	return nil
}

// answer renders what a Backend's method returned.
func answer[T any](w http.ResponseWriter, status int, v T, err error) error {
	if err != nil {
		return err
	}
	return writeJSON(w, status, v)
}

// answerList renders the list that a Backend's method returned.
func answerList[T any](w http.ResponseWriter, status int, items []T, err error) error {
	return answer(w, status, listOf(items), err)
}

// encode writes v on one line, with <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
