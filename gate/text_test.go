package gate

import (
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

func TestReplacePlaceholders(t *testing.T) {
	t.Parallel()
	at := func(hms string) time.Time {
		d, err := time.Parse(time.TimeOnly, hms)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	tests := []struct {
		name       string
		start, end time.Time
		in, want   string
	}{
		{"minutes are rounded up", at("09:05:02"), at("09:14:31"), "[$DURATION_MINUTESm]", "[10m]"},
		{"no duration", at("09:05:02"), at("09:05:02"), "[$DURATION_MINUTESm] [$DURATION_SECONDSs]", "[3m] [180s]"},
		{"negative", at("09:05:02"), at("09:05:01"), "$DURATION_MINUTES", "3"},
		{"no start", time.Time{}, at("09:05:01"), "$DURATION_MINUTES", "3"},
		{"a minute and a second", at("09:00:00"), at("09:01:01"), "$DURATION_MINUTES $DURATION_SECONDS", "2 61"},
		{"a whole minute", at("09:00:00"), at("09:01:00"), "$DURATION_MINUTES $DURATION_SECONDS", "1 60"},
		{"part of a second", at("09:00:00"), at("09:00:01").Add(1), "$DURATION_MINUTES $DURATION_SECONDS", "1 2"},
		{"no word boundary", at("09:00:00"), at("09:01:00"), "$ENVIRONMENTS carts.ENV_PLACEHOLDER.svc", "devS carts.dev.svc"},
		{"everywhere", at("09:00:00"), at("09:01:00"), `{"id": "$ENVIRONMENT", "$ENVIRONMENT": ["ENV_PLACEHOLDER"]}`, `{"id": "dev", "dev": ["dev"]}`},
		{"nothing else", at("09:00:00"), at("09:01:00"), "$DURATION $ENV ENV_PLACE", "$DURATION $ENV ENV_PLACE"},
	}
	for _, tt := range tests {
		if got := string(replacePlaceholders([]byte(tt.in), "dev", fairway.Window{Start: tt.start, End: tt.end})); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestRedactLeavesOtherWords(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`parse error: unexpected "}" at char 12`,
		`the basic authentication was refused`,
		`Get "http://127.0.0.1:9090/api/v1/query?query=up": connection refused`,
	} {
		if got := redact(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
