package gate

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// noDuration is what the duration placeholders become when a test has no
// duration.
const noDuration = 3 * time.Minute

// replacePlaceholders replaces the placeholders in the whole text of a
// specification: the environment by the namespace, durations by the test's,
// rounded up. There are no word boundaries, so that $DURATION_MINUTESm is a
// range of minutes.
func replacePlaceholders(spec []byte, ns fairway.Namespace, w fairway.Window) []byte {
	d := w.Duration()
	if d <= 0 || w.Start.IsZero() || w.End.IsZero() {
		d = noDuration
	}
	return []byte(strings.NewReplacer(
		"ENV_PLACEHOLDER", string(ns),
		"$ENVIRONMENT", string(ns),
		"$DURATION_MINUTES", roundUp(d, time.Minute),
		"$DURATION_SECONDS", roundUp(d, time.Second),
	).Replace(string(spec)))
}

func roundUp(d, unit time.Duration) string {
	return strconv.FormatInt(int64((d+unit-1)/unit), 10)
}

// forRun replaces the placeholders in a query that is text as Keptn's later
// versions did: unlike in a perfspec, $DURATION_SECONDS has its unit. In a
// perfspec nothing is left to replace by now.
func forRun(query json.RawMessage, r Request) json.RawMessage {
	var text string
	if json.Unmarshal(query, &text) != nil || !strings.Contains(text, "$") {
		return query
	}
	d := r.Window.Duration()
	if d <= 0 || r.Window.Start.IsZero() || r.Window.End.IsZero() {
		d = noDuration
	}
	seconds, minutes := roundUp(d, time.Second)+"s", roundUp(d, time.Minute)+"m"
	s := r.Subject
	text = strings.NewReplacer(
		"$DURATION_SECONDSs", seconds, "$DURATION_SECONDS", seconds, "$DURATION_MINUTESm", minutes, "$DURATION_MINUTES", minutes,
		"$ENVIRONMENT", string(s.Place.Namespace), "$PROJECT", string(s.Project), "$STAGE", string(s.Stage), "$SERVICE", string(s.Place.Service),
	).Replace(text)
	out, err := json.Marshal(text)
	if err != nil {
		return query
	}
	return out
}

// secrets match what an error of a source may carry and nobody should read:
// the user part of an address, tokens in a query string, headers.
var secrets = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(://)[^/@\s"']+@`), "${1}…@"},
	{regexp.MustCompile(`(?i)\b((?:[a-z0-9]+[-_])*(?:token|password|passwd|secret|api[-_]?key|access[-_]?key)\s*[=:]\s*)("[^"]*"|'[^']*'|[^&\s"',;]+)`), "${1}…"},
	{regexp.MustCompile(`(?i)\b(authorization["']?\s*[:=]\s*["']?(?:[\w-]+\s+)?)[^\s"']+`), "${1}…"},
	{regexp.MustCompile(`(?i)\b((?:bearer|api-token)\s+)[A-Za-z0-9._~+/=-]{6,}`), "${1}…"},
}

// redact hides credentials in the text of an error.
func redact(text string) string {
	for _, s := range secrets {
		text = s.pattern.ReplaceAllString(text, s.with)
	}
	return text
}
