package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/dynatrace/simulator"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// TestStories plays testdata/script at the command line. Besides testscript's
// own commands there are those of [story], each with a comment there.
func TestStories(t *testing.T) {
	t.Parallel()
	play(t, "*.txtar")
}

// TestGitStories plays those that need git.
func TestGitStories(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "git")
	play(t, "git/*.txtar")
}

// TestJMeterStories plays those that need JMeter.
func TestJMeterStories(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "jmeter")
	play(t, "jmeter/*.txtar")
}

func play(t *testing.T, pattern string) {
	files, err := filepath.Glob(filepath.Join("testdata", "script", pattern))
	must(t, err)
	if len(files) == 0 {
		t.Fatalf("there are no stories %s", pattern)
	}
	testscript.Run(t, testscript.Params{
		Files:               files,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": story(cmdUp), "down": story(cmdDown), "kill9": story(cmdKill9), "exits": cmdExits, "await": cmdAwait,
			"ware": story(cmdWare), "ended": story(cmdEnded), "at": story(cmdAt),
			"ask": story(cmdAsk), "answers": story(cmdAnswers), "http": story(cmdHTTP), "split": story(cmdSplit),
			"prometheus": story(cmdPrometheus), "dynatrace": story(cmdDynatrace), "nowhere": story(cmdNowhere),
		},
	})
}

type serverKey struct{}

func setUp(e *testscript.Env) error {
	s := &server{home: filepath.Join(e.WorkDir, "home")}
	e.Values[serverKey{}] = s
	e.Values[dynatraceKey{}] = &simulator.Server{}
	e.Defer(s.cleanUp)
	e.Setenv("HOME", s.home)
	shop, err := filepath.Abs("testdata/shop")
	if err != nil {
		return err
	}
	e.Setenv("WARE", wareFile)
	e.Setenv("SHOP", shop)
	e.Setenv("WALKTHROUGH", filepath.Join(shop, "../../../../dynatrace/testdata/walkthrough.json"))
	e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	e.Setenv("GIT_TERMINAL_PROMPT", "0")
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		e.Setenv("GIT_"+who+"_NAME", "A Developer")
		e.Setenv("GIT_"+who+"_EMAIL", "developer@example.com")
	}
	return os.MkdirAll(s.home, 0o700)
}

// story makes a command of a function that works with the script's server. A
// negated command must fail.
func story(f func(*testscript.TestScript, *server, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := f(ts, ts.Value(serverKey{}).(*server), args)
		if neg && err == nil {
			ts.Fatalf("unexpected success")
		}
		if !neg {
			ts.Check(err)
		}
	}
}

// cmdUp starts fairway: up [NAME=VALUE...] [FLAG...]. The script's variables
// LISTEN, GATEWAY and FAIRWAY_SERVER say where it is, OLD where it was before.
func cmdUp(ts *testscript.TestScript, s *server, args []string) error {
	var env []string
	for len(args) > 0 && strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "-") {
		env, args = append(env, args[0]), args[1:]
	}
	ts.Setenv("OLD", s.ready.Listen)
	if err := s.begin(env, args...); err != nil {
		return err
	}
	ts.Setenv("LISTEN", s.ready.Listen)
	ts.Setenv("GATEWAY", s.ready.Gateway)
	ts.Setenv("LOGIN", s.ready.Login)
	ts.Setenv("DATA", s.ready.Data)
	ts.Setenv("FAIRWAY_SERVER", "http://"+s.ready.Listen)
	return nil
}

// cmdDown stops it as Ctrl-C does; nothing that it ran may be left.
func cmdDown(ts *testscript.TestScript, s *server, _ []string) error {
	err := s.stop()
	fmt.Fprint(ts.Stdout(), s.out.String())
	return err
}

// cmdKill9 kills it as a crash does.
func cmdKill9(_ *testscript.TestScript, s *server, _ []string) error { return s.end(syscall.SIGKILL) }

// cmdExits runs a command that must end with this code: exits CODE COMMAND...
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("the exit code is %d, not %s", code, args[0])
	}
}

// cmdAwait repeats a command until its output matches: await REGEXP COMMAND...
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: await REGEXP COMMAND...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ts.Check(until("`"+strings.Join(args[1:], " ")+"` prints "+args[0], func() (bool, error) {
		err := ts.Exec(args[1], args[2:]...)
		return pattern.MatchString(ts.ReadFile("stdout")), err
	}))
}

// cmdWare pushes a version of ware: ware SERVICE TAG [NAME=VALUE...].
func cmdWare(_ *testscript.TestScript, s *server, args []string) error {
	return s.push(args[0], args[1], args[2:]...)
}

// cmdEnded waits for the end of a tag's newest delivery, of which the script's
// variable DELIVERY is the id from then on, and prints its reason: ended
// SERVICE TAG STATUS.
func cmdEnded(ts *testscript.TestScript, s *server, args []string) error {
	d, err := s.ended(args[0], args[1])
	if err != nil {
		return err
	}
	ts.Setenv("DELIVERY", string(d.ID))
	fmt.Fprintln(ts.Stdout(), d.Reason)
	if d.Status != fairway.DeliveryStatus(args[2]) {
		return fmt.Errorf("delivery %s of %s:%s ended as %s: %s", d.ID, args[0], args[1], d.Status, d.Reason)
	}
	return nil
}

// cmdAt waits until a tag's newest delivery has come to a step: at SERVICE TAG
// STAGE STEP.
func cmdAt(ts *testscript.TestScript, s *server, args []string) error {
	d, err := s.at(args[0], args[1], args[2], args[3])
	ts.Setenv("DELIVERY", string(d.ID))
	return err
}

// cmdAsk asks a delivered service and prints status and body: ask HOST PATH.
func cmdAsk(ts *testscript.TestScript, s *server, args []string) error {
	status, body, err := s.ask(args[0], args[1])
	if err == nil {
		fmt.Fprintln(ts.Stdout(), status, body)
	}
	return err
}

// cmdAnswers waits until a delivered service answers, which must be with the
// version: answers HOST VERSION.
func cmdAnswers(_ *testscript.TestScript, s *server, args []string) error {
	return s.awaitAnswer(args[0], args[1])
}

// cmdHTTP asks Fairway itself and prints status and body: http [-anonymous]
// [-host HOST] [-type CONTENT-TYPE] METHOD PATH [FILE].
func cmdHTTP(ts *testscript.TestScript, s *server, args []string) error {
	token, err := s.token()
	if err != nil {
		return err
	}
	kind, host := "application/json", ""
	for strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-anonymous":
			token = ""
		case "-host":
			host, args = args[1], args[1:]
		case "-type":
			kind, args = args[1], args[1:]
		default:
			return fmt.Errorf("http has no flag %s", args[0])
		}
		args = args[1:]
	}
	body := ""
	if len(args) > 2 {
		body = ts.ReadFile(args[2])
	}
	req, err := http.NewRequest(args[0], "http://"+s.ready.Listen+args[1], strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Host = host
	if body != "" {
		req.Header.Set("Content-Type", kind)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	status, text, err := answer(req)
	if err == nil {
		fmt.Fprintln(ts.Stdout(), status, text)
	}
	return err
}
