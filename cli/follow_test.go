package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// stage is a run of the command line without a process or a network.
type stage struct {
	out, err bytes.Buffer
	columns  int
	env      map[string]string
}

func (s *stage) run(ctx context.Context, b api.Backend, line string) int {
	return Run(ctx, strings.Fields(line), Options{
		Stdout: &s.out, Stderr: &s.err, Env: func(name string) string { return s.env[name] },
		NewBackend: func(string, string) api.Backend { return b },
		terminal:   func(io.Writer) int { return s.columns },
	})
}

// stocked returns a shop with one delivery of the tag.
func stocked(tag string) *shop {
	s := newShop()
	s.start(api.SendArtifact{Project: "sockshop", Service: "carts", Image: "carts", Tag: tag})
	return s
}

// flaky does not answer from the second look on, for some time.
type flaky struct {
	*shop
	from, until time.Time
}

func (f *flaky) Delivery(ctx context.Context, id string) (fairway.Delivery, error) {
	if now := time.Now(); now.After(f.from) && now.Before(f.until) {
		return fairway.Delivery{}, fairway.Errorf(fairway.KindUnavailable, "Fairway does not answer at http://127.0.0.1:8080")
	}
	return f.shop.Delivery(ctx, id)
}

// Watch breaks at once, as it does when the server is not there.
func (f *flaky) Watch(context.Context, func(api.Change) error) error {
	return fairway.Errorf(fairway.KindUnavailable, "Fairway does not answer")
}

func TestFollowSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s stage
		b := &flaky{shop: stocked("pass"), from: time.Now(), until: time.Now().Add(40 * time.Second)}
		if code := s.run(t.Context(), b, "watch 00000001 --token t"); code != ExitOK {
			t.Fatalf("exit code %d, want %d\n%s%s", code, ExitOK, &s.out, &s.err)
		}
		if got := strings.Count(s.out.String(), "Fairway does not answer; trying again"); got != 1 {
			t.Errorf("said %d times that the server is away, want once:\n%s", got, &s.out)
		}
		if !strings.Contains(s.out.String(), "carts pass 00000001: finished") {
			t.Errorf("the end is missing:\n%s", &s.out)
		}
	})
}

func TestFollowGivesUpOnAServerThatStaysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s stage
		began := time.Now()
		b := &flaky{shop: stocked("pass"), from: began, until: began.Add(time.Hour)}
		if code := s.run(t.Context(), b, "watch 00000001 --token t"); code != ExitFailed {
			t.Fatalf("exit code %d, want %d", code, ExitFailed)
		}
		if took := time.Since(began); took < patience || took > patience+3*lookEvery {
			t.Errorf("gave up after %s, want about %s", took, patience)
		}
		if want := "does not answer at http://127.0.0.1:8080"; !strings.Contains(s.err.String(), want) {
			t.Errorf("said %q, want %q", &s.err, want)
		}
	})
}

// silent reports no change at all.
type silent struct{ *shop }

func (silent) Watch(ctx context.Context, _ func(api.Change) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestFollowNeedsNoReportOfTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s stage
		if code := s.run(t.Context(), silent{stocked("reject")}, "watch 00000001 --token t"); code != ExitRejected {
			t.Fatalf("exit code %d, want %d\n%s", code, ExitRejected, &s.err)
		}
	})
}

// TestFollowMentionsALongStep holds what a log of a build shows while a step
// takes long.
func TestFollowMentionsALongStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s stage
		b := stocked("pass")
		b.deliveries[0].views = b.deliveries[0].views[:1]
		if code := s.run(t.Context(), b, "watch 00000001 --token t --timeout 95s"); code != ExitTimeout {
			t.Fatalf("exit code %d, want %d", code, ExitTimeout)
		}
		lines := strings.Split(strings.TrimSpace(s.out.String()), "\n")
		if len(lines) != 3 || !strings.HasSuffix(lines[0], "half of it") {
			t.Errorf("want a line every %s, got:\n%s", reportEvery, &s.out)
		}
	})
}

func TestInterruption(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"watch 00000001": {ExitFailed, "error: interrupted while waiting for delivery 00000001 of carts hang: approve in dev: waits for a person: approve or reject\nit goes on; follow it with: fairway watch 00000001\n"},
		"watch":          {ExitOK, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Minute, cancel)
			var s stage
			if code := s.run(ctx, stocked("hang"), line+" --token t"); code != want.code || s.err.String() != want.text {
				t.Errorf("fairway %s: exit code %d and %q, want %d and %q", line, code, &s.err, want.code, want.text)
			}
		})
	}
}

// screen returns what a terminal shows after the output, and every line that
// it showed in between.
func screen(out string) (final, all []string) {
	for _, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		states := strings.Split(line, eraseLine)
		all = append(all, states...)
		final = append(final, states[len(states)-1])
	}
	return final, all
}

func TestTerminalShowsOneLineAStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stage{columns: 50, env: map[string]string{"NO_COLOR": "1"}}
		if code := s.run(t.Context(), stocked("pass"), "watch 00000001 --token t"); code != ExitOK {
			t.Fatalf("exit code %d, want %d", code, ExitOK)
		}
		final, all := screen(s.out.String())
		want := []string{
			"dev          configure  ok        1.5s  carts pass passed configure",
			"dev          deploy     ok        1.5s  carts pass passed deploy",
			"dev          test       ok        1.5s  carts pass passed test",
			"carts pass 00000001: finished: released in production",
		}
		if !reflect.DeepEqual(final, want) {
			t.Errorf("the terminal shows\n%s\nwant\n%s", strings.Join(final, "\n"), strings.Join(want, "\n"))
		}
		for _, line := range all {
			if strings.Contains(line, " … ") && len([]rune(line)) >= 50 {
				t.Errorf("a line that is updated does not fit into 50 columns: %q", line)
			}
		}
	})
}

func TestColoursOnATerminalOnly(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		columns int
		env     map[string]string
		flags   string
		want    bool
	}{
		{"terminal", 80, nil, "", true},
		{"file or pipe", 0, nil, "", false},
		{"NO_COLOR", 80, map[string]string{"NO_COLOR": "1"}, "", false},
		{"flag", 80, nil, " --no-color", false},
		{"dumb terminal", 80, map[string]string{"TERM": "dumb"}, "", false},
	} {
		s := stage{columns: tc.columns, env: tc.env}
		if code := s.run(t.Context(), newShop(), "get targets --token t"+tc.flags); code != ExitOK {
			t.Fatalf("%s: exit code %d: %s", tc.name, code, &s.err)
		}
		if got := strings.Contains(s.out.String(), "\x1b[31mdown\x1b[0m"); got != tc.want || strings.Contains(s.out.String(), "\x1b") != tc.want {
			t.Errorf("%s: coloured %v, want %v:\n%q", tc.name, got, tc.want, &s.out)
		}
	}
}

// FuzzYAML holds the YAML against the JSON: all text has to come back as the
// same text.
func FuzzYAML(f *testing.F) {
	for _, s := range []string{"", "1.0", "007", "1e3", "true", "2019-01-01", "no", "Off", "~", "null", "-", "- a", "a: b", "#x", "x #y", "'", "\"", "\n", "a\nb\n", " a ", "é\u2028", "0x1f", "1_000", ".inf", "[a", "{a", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "=", "<<", "\t", "\x7f", "\u0085", "\ufeff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		value := map[string]any{"k" + a: []any{a, b, map[string]any{"x": a}}}
		var js, ys bytes.Buffer
		if err := writeJSON(&js, value); err != nil {
			t.Fatal(err)
		}
		if err := writeYAML(&ys, value); err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := json.Unmarshal(js.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(ys.Bytes(), &got); err != nil {
			t.Fatalf("%v in\n%s", err, &ys)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %q, want %q, from\n%s", got, want, &ys)
		}
	})
}

func TestShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0ms", 250 * time.Millisecond: "250ms", 1500 * time.Millisecond: "1.5s", 42 * time.Second: "42s",
		119 * time.Second: "119s", 297 * time.Second: "4m57s", 90 * time.Minute: "90m", 30 * time.Hour: "30h", 50 * time.Hour: "2d",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0µs", 0.000632: "632µs", 0.01234: "12.3ms", 1.0123: "1.01s"} {
		if got := seconds(v); got != want {
			t.Errorf("seconds(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestExitCodeOfErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want int
	}{
		{fairway.Invalid("a", "b", "c", "d"), ExitInvalid},
		{fmt.Errorf("send: %w", fairway.Errorf(fairway.KindNotFound, "no such project")), ExitInvalid},
		{fairway.Errorf(fairway.KindConflict, "x"), ExitFailed},
		{fairway.Errorf(fairway.KindRefused, "x"), ExitFailed},
		{fairway.Errorf(fairway.KindUnauthorized, "x"), ExitFailed},
		{fairway.Errorf(fairway.KindUnavailable, "x"), ExitFailed},
		{fairway.Errorf(fairway.KindFull, "x"), ExitFailed},
		{errors.New("x"), ExitFailed},
		{fmt.Errorf("demo: %w", &ExitError{Code: ExitWarned, Err: fairway.Invalid("a", "b", "c", "d")}), ExitWarned},
		{&ExitError{Code: ExitSuperseded}, ExitSuperseded},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("%v: exit code %d, want %d", tc.err, got, tc.want)
		}
	}
	for status, code := range byStatus {
		if !status.Ended() || code < 0 || code > ExitTimeout {
			t.Errorf("%s: exit code %d", status, code)
		}
	}
}
