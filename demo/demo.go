package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
)

// Mutation breaks the story on purpose, to show that the demo notices.
type Mutation string

// The mutations.
const (
	GateOff     Mutation = "gate-off"     // every gate passes
	FastV2      Mutation = "fast-v2"      // v2 is not slower
	DropRequest Mutation = "drop-request" // one request fails during the switch
)

// Options say how the demo runs.
type Options struct {
	// Source is the checkout that holds examples/. Empty: looked for from the
	// working directory upwards.
	Source string
	// Data is Fairway's data directory. Empty: a temporary one, removed at the
	// end unless Keep.
	Data string
	// Listen and Gateway are Fairway's addresses. Empty: free ports.
	Listen, Gateway string
	// Keep stays up after the story until ctx ends.
	Keep bool
	// Self is the fairway program that make release calls.
	Self     string
	Out      io.Writer
	Terminal bool // Out understands colours and cursor movement
	Version  string
	Mutation Mutation
	// LogOutput receives Fairway's own log. Empty: fairway.log in the data
	// directory.
	LogOutput io.Writer
}

// wait is the limit for one delivery.
const wait = 3 * time.Minute

// story is a demo under way.
type story struct {
	o      Options
	app    *app.App
	client *api.Client
	acc    *account
	source string // checkout
	work   string // clones and builds
	prober *prober
}

// Run plays the demo. It returns an error that lists everything that was not
// as promised.
func Run(ctx context.Context, o Options) (err error) {
	s := &story{o: o, acc: newAccount(o.Out, o.Terminal)}
	if s.source, err = findSource(o.Source); err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "fairway-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, removeAll(data)) }()
	}
	s.work = data
	if o.Data == "" {
		s.o.Data = filepath.Join(data, "data")
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() {
		s.acc.stop()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, s.app.Stop(stop))
	}()
	if err := s.play(ctx); err != nil {
		return err
	}
	if o.Keep {
		s.keep(ctx)
	}
	return nil
}

// removeAll removes the demo's directory, also what Go made read-only there.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// findSource returns the nearest directory upwards that holds the example.
func findSource(dir string) (string, error) {
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			return "", fmt.Errorf("find the example: %w", err)
		}
		dir = wd
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "examples", "carts", "Makefile")); err == nil {
			return filepath.Abs(d)
		}
		if d == filepath.Dir(d) {
			return "", fairway.Errorf(fairway.KindNotFound, "examples/carts is neither in %s nor above it; run the demo in a clone of the project, or name one with --source", dir)
		}
	}
}

func (s *story) start(ctx context.Context) error {
	if err := os.MkdirAll(s.o.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	logs := s.o.LogOutput
	if logs == nil {
		f, err := os.OpenFile(filepath.Join(s.o.Data, "fairway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		logs = f
	}
	free := func(addr string) string {
		if addr == "" {
			return "127.0.0.1:0"
		}
		return addr
	}
	began := time.Now()
	a, err := app.New(ctx, app.Options{
		Data: s.o.Data, Listen: free(s.o.Listen), Gateway: free(s.o.Gateway), Version: s.o.Version, LogOutput: logs,
		NoGate: s.o.Mutation == GateOff,
	})
	if err != nil {
		return err
	}
	s.app = a
	if err := a.Start(ctx); err != nil {
		return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
	}
	s.client = api.NewClient(api.ClientOptions{URL: "http://" + a.Address(), Token: a.Token()})
	s.acc.note("Fairway is ready after %s, at http://%s; services answer at %s", time.Since(began).Round(time.Millisecond), a.Address(), a.GatewayAddress())
	s.acc.follow(ctx, s.client)
	return nil
}

// play tells the story of the walk-through.
func (s *story) play(ctx context.Context) error {
	began := time.Now()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	c, err := s.clone(ctx)
	if err != nil {
		return err
	}
	v1, err := s.release(ctx, c, "v1", 1)
	if err != nil {
		return err
	}
	if v1.Status != fairway.StatusFinished {
		return fmt.Errorf("v1 did not reach production: %s", v1.Reason)
	}
	s.prober = startProber(ctx, s.app.GatewayAddress(), s.o.Mutation == DropRequest)
	defer s.prober.stop()
	if err := c.edit("0.6.0", "0.6.1", "v1", "v2", s.o.Mutation != FastV2); err != nil {
		return err
	}
	v2, err := s.release(ctx, c, "v2", 2)
	if err != nil {
		return err
	}
	if err := c.edit("0.6.1", "0.6.2", "v2", "v3", false); err != nil {
		return err
	}
	v3, err := s.release(ctx, c, "v3", 3)
	if err != nil {
		return err
	}
	s.prober.more(ctx, 100, 1000) // what comes after the last switch counts too
	s.prober.stop()
	s.acc.note("the story took %s", time.Since(began).Round(100*time.Millisecond))
	return s.check(ctx, v2, v3)
}

func (s *story) keep(ctx context.Context) {
	s.acc.say("")
	s.acc.say("Fairway stays up until Ctrl-C.")
	s.acc.say("  console     %s", s.app.LoginURL())
	s.acc.say("  production  curl -H 'Host: carts.production.localhost' http://%s/version", s.app.GatewayAddress())
	s.acc.say("  commands    export FAIRWAY_SERVER=http://%s; fairway --data %s get deliveries", s.app.Address(), s.app.Data())
	s.acc.say("  git         fairway --data %s login; git clone http://%s/git/sockshop.git", s.app.Data(), s.app.Address())
	s.acc.say("  log         %s", filepath.Join(s.app.Data(), "fairway.log"))
	<-ctx.Done()
}
