package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// interval between two questions: a little under what 50 a second need.
const interval = 15 * time.Millisecond

// prober asks production's version again and again, as its users do.
type prober struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	client *http.Client
	url    string

	mu      sync.Mutex
	answers map[string]int // by what was answered: v1, v2, …
	failed  []string
	total   int
	began   time.Time
	lasted  time.Duration
	drop    bool // lose one request, once v3 was seen
	enough  chan struct{}
	want    int
}

func startProber(ctx context.Context, gateway string, drop bool) *prober {
	ctx, cancel := context.WithCancel(ctx)
	dialer := &net.Dialer{}
	p := &prober{
		cancel: cancel, answers: map[string]int{}, began: time.Now(), drop: drop,
		url: "http://carts.production.localhost/version",
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
			// Not every resolver knows *.localhost.
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, gateway)
			},
			MaxIdleConnsPerHost: 8,
		}},
	}
	p.wg.Go(func() { p.run(ctx) })
	return p
}

func (p *prober) run(ctx context.Context) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			version, err := p.ask(ctx)
			if ctx.Err() != nil {
				return
			}
			p.count(version, err)
		}
	}
}

func (p *prober) ask(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return "", err
	}
	if p.dropNow() {
		return "", fmt.Errorf("the request was dropped on purpose")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(body))
	version, ok := strings.CutPrefix(text, "Version = ")
	if resp.StatusCode != http.StatusOK || !ok {
		return "", fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	return version, nil
}

// dropNow reports, once, that a request of the switch is to be lost.
func (p *prober) dropNow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.drop && p.answers["v3"] > 0
	if now {
		p.drop = false
	}
	return now
}

func (p *prober) count(version string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total++
	if err != nil {
		p.failed = append(p.failed, fmt.Sprintf("request %d after %s: %v", p.total, time.Since(p.began).Round(time.Millisecond), err))
	} else {
		p.answers[version]++
	}
	if p.enough != nil && p.total >= p.want {
		close(p.enough)
		p.enough = nil
	}
}

// more waits until n further answers came and least in all, or ctx ends.
func (p *prober) more(ctx context.Context, n, least int) {
	p.mu.Lock()
	ch := make(chan struct{})
	p.enough, p.want = ch, max(p.total+n, least)
	p.mu.Unlock()
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

// stop ends the questions; what was counted stays.
func (p *prober) stop() {
	p.cancel()
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lasted == 0 {
		p.lasted = time.Since(p.began)
	}
}
