package access

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// status is the answer to each refusal.
func status(reason string) int {
	switch reason {
	case RefusedOrigin, RefusedCSRF:
		return http.StatusForbidden
	case RefusedTooLarge:
		return http.StatusRequestEntityTooLarge
	case RefusedTooMany:
		return http.StatusTooManyRequests
	}
	return http.StatusUnauthorized
}

// kinds are the error kinds that the API has for these answers.
var kinds = map[int]string{
	http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "unauthorized",
	http.StatusRequestEntityTooLarge: "invalid", http.StatusTooManyRequests: "unavailable",
}

// refuse counts the refusal and answers in the words of whoever asks: image
// clients, git, the API's clients, or a person before a browser.
func (s *gate) refuse(w http.ResponseWriter, r *http.Request, reason string) {
	s.refused(reason)
	code := status(reason)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if code == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	class := classOf(r.URL.Path)
	if code == http.StatusUnauthorized {
		// Browsers ask for a password at Basic, which is no use to a person.
		h.Set("WWW-Authenticate", `Bearer realm="fairway"`)
		if class == images || class == repositories {
			h.Set("WWW-Authenticate", `Basic realm="fairway"`)
		}
	}
	title := http.StatusText(code)
	switch class {
	case images:
		h.Set("Docker-Distribution-Api-Version", "registry/2.0")
		answer(w, code, "application/json", fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, registryCode(code), strings.ToLower(title)))
	case repositories:
		answer(w, code, "text/plain; charset=utf-8", title+"\n")
	case pages:
		answer(w, code, "text/html; charset=utf-8", page(code))
	default:
		answer(w, code, "application/problem+json", fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"kind":%q}`+"\n", title, code, kinds[code]))
	}
}

// registryCode is the error code of the OCI distribution specification.
func registryCode(status int) string {
	switch status {
	case http.StatusForbidden:
		return "DENIED"
	case http.StatusRequestEntityTooLarge:
		return "SIZE_INVALID"
	case http.StatusTooManyRequests:
		return "TOOMANYREQUESTS"
	}
	return "UNAUTHORIZED"
}

func answer(w http.ResponseWriter, code int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	io.WriteString(w, body)
}

// page tells a person how to get in.
func page(code int) string {
	say := map[int]string{
		http.StatusUnauthorized:          "You are not logged in here, or the link was used already or is older than ten minutes. Run <code>fairway open</code> on the machine where Fairway runs, or open the link that <code>fairway up</code> printed at its start.",
		http.StatusForbidden:             "The request did not come from one of Fairway’s own pages, or that page is old. <a href=\"/\">Load it again</a> and repeat what you did.",
		http.StatusRequestEntityTooLarge: "What was sent is larger than this page takes.",
		http.StatusInternalServerError:   "The session could not be stored. Fairway’s log says why; most often the disk is full. Then run <code>fairway open</code> for a new link.",
		http.StatusTooManyRequests:       "Too many wrong tokens or links in a short time. Wait a few seconds and try again.",
	}[code]
	return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">" +
		"<meta name=\"color-scheme\" content=\"light dark\"><title>Fairway: " + http.StatusText(code) + "</title></head>" +
		"<body><main><h1>" + http.StatusText(code) + "</h1><p>" + say + "</p></main></body></html>\n"
}
