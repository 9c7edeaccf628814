// Command soak delivers an artifact a second for as long as asked, and tells
// whether disk, memory, goroutines and open files stay flat. It starts the
// real program with little retention, so that it soon lets go of as much as
// comes; see docs/performance.md.
//
// Usage, in the repository:
//
//	go run ./internal/soak [--for 1h] [--rate 1] [--services 5]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := soak{}
	flag.DurationVar(&s.length, "for", time.Hour, "how long")
	flag.Float64Var(&s.rate, "rate", 1, "artifacts a second")
	flag.IntVar(&s.services, "services", 5, "among how many services they are spread")
	flag.Parse()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

type soak struct {
	length   time.Duration
	rate     float64
	services int

	home, ware, program string
	cmd                 *exec.Cmd
	ready               struct{ Listen, Data string }
	token               string
	client              *api.Client
	samples             []sample
}

// What the run keeps of the past: as much as comes in a few minutes.
var kept = []string{"--keep-deliveries", "300", "--keep-for", "1h", "--keep-images", "3", "--keep-pushed", "2m"}

func (s *soak) run(ctx context.Context) (err error) {
	if s.home, err = os.MkdirTemp("", "fairway-soak-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.home)
	s.program, s.ware = filepath.Join(s.home, "fairway"), filepath.Join(s.home, "ware")
	for out, pkg := range map[string]string{s.program: "./cmd/fairway", s.ware: "./cmd/fairway/testdata/ware"} {
		build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", out, pkg)
		build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() {
		s.cmd.Process.Signal(os.Interrupt)
		err = errors.Join(err, s.cmd.Wait())
	}()
	if err := s.onboard(ctx); err != nil {
		return err
	}
	if err := s.deliver(ctx); err != nil {
		return err
	}
	return s.judge()
}

func (s *soak) start(ctx context.Context) error {
	file := filepath.Join(s.home, "ready.json")
	s.cmd = exec.Command(s.program, append([]string{"up", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--ready-file", file, "--drain", "2s",
		"--data", filepath.Join(s.home, "data")}, kept...)...)
	s.cmd.Stdout, s.cmd.Stderr = os.Stderr, os.Stderr
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if b, err := os.ReadFile(file); err == nil {
			if err := json.Unmarshal(b, &s.ready); err != nil {
				return err
			}
			token, err := os.ReadFile(filepath.Join(s.ready.Data, "token"))
			s.token = strings.TrimSpace(string(token))
			s.client = api.NewClient(api.ClientOptions{URL: "http://" + s.ready.Listen, Token: s.token})
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
	return context.Cause(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

const shipyard = `stages:
  - name: dev
    test_strategy: functional
  - name: production
    deployment_strategy: blue_green_service
`

func (s *soak) name(i int) fairway.ServiceName {
	return fairway.ServiceName(fmt.Sprintf("ware%d", i%s.services))
}

func (s *soak) onboard(ctx context.Context) error {
	if _, err := s.client.CreateProject(ctx, api.CreateProject{Name: "soak", Shipyard: shipyard}); err != nil {
		return err
	}
	for i := range s.services {
		values := fmt.Sprintf("service:\n  name: %s\n  internalPort: 8080\nhealth: /health\n", s.name(i))
		if _, err := s.client.OnboardService(ctx, api.OnboardService{Project: "soak", Service: s.name(i), Values: values}); err != nil {
			return err
		}
	}
	return nil
}

// deliver pushes at the rate and looks a hundred times.
func (s *soak) deliver(ctx context.Context) error {
	began := time.Now()
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.rate))
	defer tick.Stop()
	look := s.length / 100
	for n := 0; time.Since(began) < s.length; n++ {
		if time.Since(began) >= time.Duration(len(s.samples))*look {
			if err := s.sample(time.Since(began), n); err != nil {
				return err
			}
		}
		img, err := image.Pack(image.PackRequest{Binary: s.ware, Port: 8080, Env: map[string]string{"VERSION": strconv.Itoa(n)}})
		if err != nil {
			return err
		}
		ref := fmt.Sprintf("%s/soak/%s:v%d", s.ready.Listen, s.name(n), n)
		if _, err := image.Push(ctx, img, ref, image.Credentials{User: "fairway", Token: s.token}); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// sample is one look at the process.
type sample struct {
	at                                       time.Duration
	artifacts                                int
	disk, memory, goroutines, files, threads float64
}

func (s *soak) sample(at time.Duration, artifacts int) error {
	one := sample{at: at, artifacts: artifacts}
	pid := strconv.Itoa(s.cmd.Process.Pid)
	err := filepath.WalkDir(s.ready.Data, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // went while we looked
		}
		if info, ierr := d.Info(); ierr == nil && info.Mode().IsRegular() {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				one.disk += float64(st.Blocks) * 512 / float64(max(st.Nlink, 1))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	open, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		return err
	}
	one.files = float64(len(open))
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return err
	}
	one.memory, one.threads = field(string(status), "VmRSS:")*1024, field(string(status), "Threads:")
	if one.goroutines, err = s.goroutines(); err != nil {
		return err
	}
	s.samples = append(s.samples, one)
	fmt.Printf("%8s  %6d artifacts  disk %6.1f MB  memory %6.1f MB  %5.0f goroutines  %4.0f files  %3.0f threads\n",
		at.Round(time.Second), artifacts, one.disk/1e6, one.memory/1e6, one.goroutines, one.files, one.threads)
	return nil
}

func field(text, name string) float64 {
	_, rest, _ := strings.Cut(text, name)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	v, _ := strconv.ParseFloat(words[0], 64) // the kernel writes a number there
	return v
}

// judge compares the second half's two quarters: by then as much goes as
// comes.
func (s *soak) judge() error {
	n := len(s.samples)
	if n < 20 {
		return errors.New("the run was too short to tell; give --for at least 2m")
	}
	third, last := s.samples[n/2:3*n/4], s.samples[3*n/4:]
	var grown []string
	fmt.Printf("\n| | third quarter | last quarter |\n|---|---|---|\n")
	for _, m := range []struct {
		name, unit string
		scale      float64
		allowed    float64 // share by which the mean may grow
		of         func(sample) float64
	}{
		{"disk", "MB", 1e6, .10, func(s sample) float64 { return s.disk }},
		{"memory, resident", "MB", 1e6, .10, func(s sample) float64 { return s.memory }},
		{"goroutines", "", 1, .10, func(s sample) float64 { return s.goroutines }},
		{"open files", "", 1, .10, func(s sample) float64 { return s.files }},
	} {
		a, b := mean(third, m.of), mean(last, m.of)
		fmt.Printf("| %s | %.1f %s | %.1f %s |\n", m.name, a/m.scale, m.unit, b/m.scale, m.unit)
		if b > a*(1+m.allowed) {
			grown = append(grown, m.name)
		}
	}
	if len(grown) > 0 {
		return fmt.Errorf("grew by more than a tenth: %s", strings.Join(grown, ", "))
	}
	return nil
}

func mean(all []sample, of func(sample) float64) float64 {
	total := 0.0
	for _, s := range all {
		total += of(s) / float64(len(all))
	}
	return total
}
