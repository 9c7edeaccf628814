package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
)

var update = flag.Bool("update", false, "write golden files and docs/reference/cli.md anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fairway": func() {
		os.Exit(Run(context.Background(), os.Args[1:], processOptions()))
	}})
}

// processOptions are those of the program that the stories run.
func processOptions() Options {
	return Options{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: "0.1.0", Env: os.Getenv,
		Now:            func() time.Time { return noon.Add(5 * time.Minute) },
		DefaultDataDir: func() (string, error) { return os.Getenv("DATA"), nil },
		PushImage: func(_ context.Context, r PushImageRequest) (string, error) {
			b, err := json.MarshalIndent(r, "", "  ")
			if err != nil {
				return "", err
			}
			return "sha256:0123", os.WriteFile("pushed.json", append(b, '\n'), 0o600)
		},
		WriteImageLogin:  func(_ context.Context, l Login) (string, error) { return "config.json", keep("config.json", l) },
		WriteGitLogin:    func(_ context.Context, l Login) (string, error) { return "gitconfig", keep("gitconfig", l) },
		RemoveImageLogin: func(context.Context, Login) (string, error) { return "config.json", os.Remove("config.json") },
		RemoveGitLogin:   func(context.Context, Login) (string, error) { return "", nil },
		Extra: []*cobra.Command{{
			Use: "up", Short: "Start", Long: "Start.", Example: "  fairway up", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				return &ExitError{Code: ExitRejected, Err: errors.New("the port is taken")}
			},
		}},
	}
}

func keep(file string, l Login) error {
	return os.WriteFile(file, []byte(l.Host+" "+l.User+" "+l.Token+"\n"), 0o600)
}

// serve runs the real API over the in-memory Fairway; it wants the token that
// a server would have written.
func serve(t testing.TB, b api.Backend) string {
	handler := api.NewServer(b, api.ServerOptions{ReadEvents: cloudevents.Read})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			api.WriteProblem(w, fairway.Errorf(fairway.KindUnauthorized, "the token is not right"))
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			url := serve(env.T().(testing.TB), newShop())
			env.Setenv("FAIRWAY_SERVER", url)
			env.Setenv("FAIRWAY_TOKEN", "secret")
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command lasts a second longer
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits CODE COMMAND ARG... runs a command that must end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
