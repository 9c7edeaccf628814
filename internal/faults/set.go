package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// set is one run of all deliveries on a data directory of its own, through as
// many lives of the program as a fault makes of it.
type set struct {
	h       *harness
	home    string
	flags   []string // of every start
	listen  string   // of every life
	gateway string
	witness *witness
	stepped bool // the clock of the program was moved

	mu    sync.Mutex
	life  *life
	token string
	acked map[string]time.Time // what was acknowledged, in words, to when
	hear  func()               // told of each acknowledgement
}

// onAck lets f be told of each acknowledgement from now on; f must not block.
func (s *set) onAck(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hear = f
}

// newSet starts Fairway on an empty directory in home, and makes the projects.
func (h *harness) newSet(ctx context.Context, home string, flags ...string) (*set, error) {
	listen, err := h.address()
	if err != nil {
		return nil, err
	}
	gateway, err := h.address()
	if err != nil {
		return nil, err
	}
	s := &set{h: h, home: home, flags: flags, listen: listen, gateway: gateway, acked: map[string]time.Time{}}
	s.witness = &witness{s: s, seen: map[string]api.StoredEvent{}, answers: map[string]map[string]time.Time{}}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	return s, s.begin(ctx)
}

// address is a free one that stays so while Fairway does not run: its port is
// below those that the system gives to whoever asks for any.
func (h *harness) address() (string, error) {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+h.rnd.IntN(20000))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free port was found")
}

// begin starts a life, with more variables of the environment.
func (s *set) begin(ctx context.Context, env ...string) error {
	l, err := begin(ctx, s.h.program, s.home, s.listen, s.gateway, env, s.flags...)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(l.ready.Data, "token"))
	if err != nil {
		return errors.Join(err, l.kill())
	}
	s.mu.Lock()
	s.life, s.token = l, strings.TrimSpace(string(token))
	s.listen, s.gateway = l.ready.Listen, l.ready.Gateway
	s.mu.Unlock()
	s.witness.follow(ctx, l)
	return nil
}

func (s *set) now() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

func (s *set) client() *api.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return api.NewClient(api.ClientOptions{URL: "http://" + s.listen, Token: s.token, Timeout: patience})
}

// acknowledged notes what Fairway has said yes to; it must be there for ever.
func (s *set) acknowledged(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[what] = time.Now()
	if s.hear != nil {
		s.hear()
	}
}

// makeProjects does by the command line what comes before deliveries.
func (s *set) makeProjects(ctx context.Context) error {
	for name, shipyard := range projects {
		if err := os.WriteFile(filepath.Join(s.home, string(name)+".yaml"), []byte(shipyard), 0o600); err != nil {
			return err
		}
		if err := s.command(ctx, "create", "project", string(name), string(name)+".yaml"); err != nil {
			return err
		}
	}
	for _, v := range s.h.services {
		n := string(v.name)
		if err := writeFiles(s.home, n); err != nil {
			return err
		}
		values := filepath.Join(n, "values.yaml")
		if err := s.command(ctx, "onboard", "service", n, "--project", string(v.project), "--values", values); err != nil {
			return err
		}
		for _, dir := range []string{"tests", "perfspec"} {
			if err := s.command(ctx, "add", "resource", n, "--project", string(v.project), "--all-stages", filepath.Join(n, dir)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *set) command(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, s.h.program, args...)
	c.Dir = s.home
	c.Env = append(environ(s.home), "FAIRWAY_SERVER=http://"+s.listen, "FAIRWAY_TOKEN="+s.token)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("fairway %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// play delivers all versions of all services, and returns when all have
// ended. While nobody answers it goes on asking, as people and builds do.
func (s *set) play(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(s.h.services))
	for i, v := range s.h.services {
		wg.Go(func() {
			for _, ver := range v.versions {
				if errs[i] = s.deliver(ctx, v, ver); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *set) deliver(ctx context.Context, v service, ver version) error {
	if err := s.push(ctx, v, ver); err != nil {
		return err
	}
	last := "nothing of it is known"
	err := until(ctx, v.key(ver.tag)+" has ended", func() (bool, error) {
		d, err := s.find(ctx, v, ver.tag)
		if err != nil {
			return false, nil // nobody answers
		}
		last = fmt.Sprintf("%s at %s in stage %s: %s", d.Status, d.Step, d.Stage, d.Reason)
		if d.Status == fairway.StatusWaiting && d.Step == fairway.StepApprove {
			s.approve(ctx, v.key(ver.tag), d)
		}
		return d.Status.Ended(), nil
	})
	if err != nil {
		return fmt.Errorf("%w; its last state is: %s\n%s", err, last, s.now().tail())
	}
	return nil
}

// push repeats the push until it was acknowledged.
func (s *set) push(ctx context.Context, v service, ver version) error {
	var last error
	err := until(ctx, v.key(ver.tag)+" is pushed", func() (bool, error) {
		s.mu.Lock()
		ref, token := fmt.Sprintf("%s/%s/%s:%s", s.listen, v.project, v.name, ver.tag), s.token
		s.mu.Unlock()
		last = s.h.images[v.key(ver.tag)](ctx, ref, token)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	s.acknowledged("push of " + v.key(ver.tag))
	return nil
}

// find returns the newest delivery of the tag.
func (s *set) find(ctx context.Context, v service, tag string) (fairway.Delivery, error) {
	all, err := s.client().Deliveries(ctx, api.DeliveryFilter{Project: v.project, Service: v.name})
	for _, d := range all {
		if d.Artifact.Tag == tag {
			return d, nil
		}
	}
	return fairway.Delivery{}, errors.Join(err, errors.New("there is no delivery of it"))
}

// approve says yes; where the answer is lost, the delivery is found in another
// state or asked about again.
func (s *set) approve(ctx context.Context, key string, d fairway.Delivery) {
	if _, err := s.client().Command(ctx, api.Command{Verb: "approve", Delivery: string(d.ID), Reason: "looks good"}); err == nil {
		s.acknowledged("approval of " + key)
	}
}
