package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func open(t *testing.T, dir string) *store {
	t.Helper()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func TestRequests(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"in memory": "", "on disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(newHandler(open(t, dir)))
			defer server.Close()
			for _, tc := range []struct {
				method, path, body string
				status             int
				want               string
			}{
				{"GET", "/health", "", 200, `{"keys":0,"status":"OK"}`},
				{"GET", "/keys", "", 200, `[]`},
				{"GET", "/keys/a", "", 404, `{"error":"there is no such key"}`},
				{"PUT", "/keys/a/2", "two", 204, ""},
				{"PUT", "/keys/a/1", "one", 204, ""},
				{"PUT", "/keys/b", "", 204, ""},
				{"PUT", "/keys/a/1", "uno", 204, ""},
				{"GET", "/keys/a/1", "", 200, "uno"},
				{"GET", "/keys/b", "", 200, ""},
				{"GET", "/keys?prefix=a/", "", 200, `["a/1","a/2"]`},
				{"DELETE", "/keys/a/1", "", 204, ""},
				{"DELETE", "/keys/a/1", "", 204, ""},
				{"GET", "/keys/a/1", "", 404, `{"error":"there is no such key"}`},
				{"PUT", "/keys/", "x", 400, `{"error":"a key has 1 to 512 bytes"}`},
				{"PUT", "/keys/" + strings.Repeat("k", maxKey+1), "x", 400, `{"error":"a key has 1 to 512 bytes"}`},
				{"PUT", "/keys/c", strings.Repeat("v", maxValue+1), 413, `{"error":"http: request body too large"}`},
				{"GET", "/health", "", 200, `{"keys":2,"status":"OK"}`},
				{"POST", "/keys/a", "", 405, "Method Not Allowed"},
			} {
				status, body := ask(t, tc.method, server.URL+tc.path, tc.body)
				if status != tc.status || body != tc.want {
					t.Errorf("%s %.40s: %d %s, want %d %s", tc.method, tc.path, status, body, tc.status, tc.want)
				}
			}
		})
	}
}

func TestChangesSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	s := open(t, dir)
	for i := range 100 {
		if err := s.put("k"+strconv.Itoa(i%10), []byte(strconv.Itoa(i)+"\n\x00")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.remove("k3"); err != nil {
		t.Fatal(err)
	}
	size := s.size
	s.close()
	s = open(t, dir)
	if v, err := s.get("k9"); err != nil || string(v) != "99\n\x00" || len(s.keys("")) != 9 || s.size != size {
		t.Errorf("k9 = %q, %v; keys %v, %d bytes, were %d", v, err, s.keys(""), s.size, size)
	}
}

func TestALineThatWasCutOffIsDropped(t *testing.T) {
	t.Parallel()
	whole := `{"key":"a","value":"MQ=="}` + "\n"
	for cut := range len(whole) {
		dir := t.TempDir()
		path := filepath.Join(dir, logFile)
		if err := os.WriteFile(path, []byte(whole+strings.Replace(whole, "a", "b", 1)[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		if err := s.put("c", []byte("3")); err != nil {
			t.Fatal(err)
		}
		s.close()
		s = open(t, dir)
		if keys := s.keys(""); len(keys) != 2 || keys[0] != "a" || keys[1] != "c" {
			t.Errorf("cut after %d bytes: keys %v", cut, keys)
		}
	}
}

func TestADamagedLogIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, logFile), []byte("{}\nnonsense\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir); err == nil || !strings.Contains(err.Error(), logFile+":2: ") || !strings.Contains(err.Error(), "restore the file") {
		t.Errorf("%v", err)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := openStore(dir); err == nil || !strings.Contains(err.Error(), "is in use by another carts-db") {
		t.Errorf("%v", err)
	}
	s.close()
	open(t, dir)
}

func TestAFailedWriteIsNotAnsweredAsStored(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	if err := s.put("a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	s.log.file.Close()
	server := httptest.NewServer(newHandler(s))
	defer server.Close()
	for _, path := range []string{"/keys/a", "/keys/b"} {
		if status, body := ask(t, "PUT", server.URL+path, "2"); status != 500 || !strings.Contains(body, "the log cannot be written") {
			t.Errorf("%d %s", status, body)
		}
	}
	if status, body := ask(t, "GET", server.URL+"/keys/a", ""); status != 200 || body != "1" {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := ask(t, "GET", server.URL+"/health", ""); status != 500 {
		t.Errorf("healthy: %d", status)
	}
}

func TestTheStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	value := make([]byte, maxValue)
	var err error
	n := 0
	for ; err == nil; n++ {
		err = s.put(strconv.Itoa(n), value)
	}
	if n != maxTotal/maxValue || s.size > maxTotal {
		t.Errorf("%v after %d values, %d bytes", err, n, s.size)
	}
	if err := s.put("0", value); err != nil {
		t.Errorf("replacing needs no more space: %v", err)
	}
	if err := s.remove("1"); err != nil {
		t.Error(err)
	}
	if err := s.put("new", value[:maxValue-10]); err != nil {
		t.Error(err)
	}
}

func TestConcurrentChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 10 {
				s.put(strconv.Itoa(i), []byte(strconv.Itoa(j)))
				s.keys("")
				s.get("0")
			}
		})
	}
	wg.Wait()
	s.close()
	s = open(t, dir)
	for i := range 4 {
		if v, err := s.get(strconv.Itoa(i)); err != nil || string(v) != "9" {
			t.Errorf("%d = %s, %v", i, v, err)
		}
	}
}

func TestRunEndsGracefully(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	dir := t.TempDir()
	if err := run(ctx, "0", dir, quiet); err != nil {
		t.Error(err)
	}
	open(t, dir) // unlocked again
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for value, want := range map[string]string{"db": `PORT is "db"`, port: "stop what uses the port, or set PORT"} {
		if err := run(t.Context(), value, "", quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}
