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

// server is a process that answers.
type server struct {
	name, addr string
	pid        int
}

// cpu returns the processor time of the server and its children. Unlike
// throughput it hardly depends on what else the machine does.
func (s server) cpu(b *testing.B) time.Duration {
	b.Helper()
	pids := []string{strconv.Itoa(s.pid)}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", s.pid))
	if err == nil {
		pids = append(pids, strings.Fields(string(children))...)
	}
	var ticks int64
	for _, pid := range pids {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			b.Skip("processor times are read from Linux's /proc")
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
		for _, f := range fields[12:14] { // utime, stime
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// process starts the test binary as the role.
func process(b *testing.B, name, role string) server {
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
	return server{name, strings.TrimSpace(line), cmd.Process.Pid}
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

// nginx starts nginx in front of the backend.
func nginx(b *testing.B, backend string) server {
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
	return server{"nginx", addr, cmd.Process.Pid}
}

// result is what wrk measured, and the processor time per request.
type result struct {
	perSecond     float64
	p50, p99, cpu time.Duration
}

// plus adds up.
func (r result) plus(o result) result {
	return result{r.perSecond + o.perSecond, r.p50 + o.p50, r.p99 + o.p99, r.cpu + o.cpu}
}

var (
	perSecondLine = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	quantileLine  = regexp.MustCompile(`(50|99)%\s+([\d.]+)(us|ms|s)\b`)
)

func wrk(b *testing.B, s server, connections int) result {
	b.Helper()
	before := s.cpu(b)
	cmd := exec.Command(testenv.Need(b, "wrk"), "-t1", "-c", strconv.Itoa(connections), "-d2s", "--latency",
		"-H", "Host: carts.production.localhost", "http://"+s.addr+"/carts/1")
	out, err := cmd.CombinedOutput()
	spent := s.cpu(b) - before
	text := string(out)
	m := perSecondLine.FindStringSubmatch(text)
	if err != nil || m == nil || strings.Contains(text, "Non-2xx") || strings.Contains(text, "Socket errors") {
		b.Fatalf("wrk: %v\n%s", err, text)
	}
	var r result
	r.perSecond, _ = strconv.ParseFloat(m[1], 64)
	r.cpu = time.Duration(float64(spent) / (2 * r.perSecond))
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
	direct := process(b, "direct", "backend")
	ways := []server{direct, nginx(b, direct.addr), process(b, "fairway", "gateway "+direct.addr)}
	for _, connections := range []int{32, 1} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			sum := map[string]result{}
			turns := 0
			for b.Loop() {
				turns++
				for _, w := range ways {
					sum[w.name] = sum[w.name].plus(wrk(b, w, connections))
				}
			}
			b.ReportMetric(0, "ns/op")
			for _, w := range ways {
				report(b, w.name, sum[w.name], float64(turns))
			}
			b.ReportMetric(sum["fairway"].perSecond/sum["nginx"].perSecond, "fairway/nginx")
		})
	}
}

func report(b *testing.B, name string, sum result, turns float64) {
	b.ReportMetric(sum.perSecond/turns, name+"-req/s")
	b.ReportMetric(sum.p50.Seconds()*1000/turns, name+"-p50-ms")
	b.ReportMetric(sum.p99.Seconds()*1000/turns, name+"-p99-ms")
	b.ReportMetric(sum.cpu.Seconds()*1e6/turns, name+"-cpu-µs/req")
}
