package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/gateway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// roleVariable makes the test binary a process of a benchmark: "backend", or
// "gateway ADDRESS" in front of it.
const roleVariable = "FAIRWAY_GATEWAY_BENCH_ROLE"

func TestMain(m *testing.M) {
	role, arg, _ := strings.Cut(os.Getenv(roleVariable), " ")
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role, arg); err != nil {
		log.Fatal(err)
	}
}

// play serves as the role until SIGTERM, and prints the address first.
func play(role, arg string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	if role == "backend" {
		go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"Version":"v3","items":[{"itemId":"819e1fbf","quantity":1,"unitPrice":99.99}]}`)
		}))
		<-ctx.Done()
		return nil
	}
	g, err := gateway.New(gateway.Options{})
	if err != nil {
		return err
	}
	if err := g.Attach(ctx, backend(fairway.Blue, "b", arg)); err != nil {
		return err
	}
	if err := g.Attach(ctx, backend(fairway.Green, "g", arg)); err != nil {
		return err
	}
	if err := g.SetWeights(ctx, weights(fairway.Weights{fairway.Blue: 10, fairway.Green: 90})); err != nil {
		return err
	}
	return g.Serve(ctx, ln)
}

// process starts the test binary as the role and returns its address.
func process(b *testing.B, role string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	// A proxy makes much garbage and keeps little: with Go's default the
	// collector runs all the time on a heap of a few megabytes.
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GOGC=400", "GOMEMLIMIT=400MiB")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

const nginxConf = `
daemon off; worker_processes auto; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream carts { server %[2]s; keepalive 64; keepalive_requests 100000000; }
  server {
    listen %[3]s;
    location / {
      proxy_pass http://carts; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}`

// nginx starts nginx in front of the backend and returns its address.
func nginx(b *testing.B, backend string) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	dir := b.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, backend, addr), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(testenv.Need(b, "nginx"), "-c", conf, "-e", filepath.Join(dir, "error.log"))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	eventually(b, "nginx answers", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}

// result is what wrk measured.
type result struct {
	perSecond float64
	p50, p99  time.Duration
}

var (
	perSecondLine = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	quantileLine  = regexp.MustCompile(`(50|99)%\s+([\d.]+)(us|ms|s)\b`)
)

func wrk(b *testing.B, addr string, connections int) result {
	b.Helper()
	cmd := exec.Command(testenv.Need(b, "wrk"), "-t1", "-c", strconv.Itoa(connections), "-d2s", "--latency",
		"-H", "Host: carts.production.localhost", "http://"+addr+"/carts/1")
	out, err := cmd.CombinedOutput()
	text := string(out)
	m := perSecondLine.FindStringSubmatch(text)
	if err != nil || m == nil || strings.Contains(text, "Non-2xx") || strings.Contains(text, "Socket errors") {
		b.Fatalf("wrk: %v\n%s", err, text)
	}
	var r result
	r.perSecond, _ = strconv.ParseFloat(m[1], 64)
	for _, q := range quantileLine.FindAllStringSubmatch(text, -1) {
		d, err := time.ParseDuration(q[2] + q[3])
		if err != nil {
			b.Fatal(err)
		}
		if q[1] == "50" {
			r.p50 = d
		} else {
			r.p99 = d
		}
	}
	return r
}

// BenchmarkBesideNginx asks the same backend directly, through nginx and
// through the gateway, in turns of two seconds. Client, proxy and backend are
// processes of their own that share the machine.
func BenchmarkBesideNginx(b *testing.B) {
	backend := process(b, "backend")
	ways := []struct{ name, addr string }{
		{"direct", backend}, {"nginx", nginx(b, backend)}, {"fairway", process(b, "gateway "+backend)},
	}
	for _, connections := range []int{32, 1} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			sum := map[string]result{}
			turns := 0
			for b.Loop() {
				turns++
				for _, w := range ways {
					r, s := wrk(b, w.addr, connections), sum[w.name]
					sum[w.name] = result{s.perSecond + r.perSecond, s.p50 + r.p50, s.p99 + r.p99}
				}
			}
			b.ReportMetric(0, "ns/op")
			n := float64(turns)
			for _, w := range ways {
				s := sum[w.name]
				b.ReportMetric(s.perSecond/n, w.name+"-req/s")
				b.ReportMetric(s.p50.Seconds()*1000/n, w.name+"-p50-ms")
				b.ReportMetric(s.p99.Seconds()*1000/n, w.name+"-p99-ms")
			}
			b.ReportMetric(sum["fairway"].perSecond/sum["nginx"].perSecond, "fairway/nginx")
		})
	}
}
