package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/durable"
)

// Upstream is a remote that a project's repository is kept in step with, and
// what it asks for. It is stored in a file of its own that its owner alone can
// read, and leaves this package in no text.
type Upstream struct {
	URL        string        `json:"url"` // https://…, ssh://USER@HOST/… or USER@HOST:PATH; without a password
	Username   string        `json:"username,omitempty"`
	Password   string        `json:"password,omitempty"`   // or token
	SSHKey     string        `json:"sshKey,omitempty"`     // private key, PEM, without a passphrase
	KnownHosts string        `json:"knownHosts,omitempty"` // in the format of known_hosts
	CA         string        `json:"ca,omitempty"`         // certificates, PEM, trusted beside the system's
	Poll       time.Duration `json:"poll,omitempty"`       // default 30 s
}

const (
	defaultPoll = 30 * time.Second
	minPoll     = time.Second
)

func (u Upstream) withDefaults() Upstream {
	if u.Poll == 0 {
		u.Poll = defaultPoll
	}
	if u.Username == "" && u.Password != "" {
		u.Username = "git"
	}
	return u
}

// endpoint reads the address.
func (u Upstream) endpoint() (*transport.Endpoint, error) {
	bad := func(why, remedy string) error {
		shown := u.URL
		if parsed, err := url.Parse(u.URL); err == nil {
			shown = parsed.Redacted()
		}
		return fairway.Invalid("url", shown, why, remedy)
	}
	const forms = "write https://HOST/PATH.git, ssh://USER@HOST/PATH.git or USER@HOST:PATH.git"
	ep, err := transport.NewEndpoint(u.URL)
	if err != nil || u.URL == "" {
		return nil, bad("is not the address of a repository", forms)
	}
	switch {
	case ep.Password != "":
		return nil, bad("has a password in it, which would show in lists and logs", "leave it out, and give it with --password-stdin or --token-stdin")
	case ep.Protocol == "https", ep.Protocol == "ssh":
	case ep.Protocol == "http" && loopback(ep.Host):
	case ep.Protocol == "http":
		return nil, bad("would send what it holds, and your password, in the clear", "write https://")
	default:
		return nil, bad("is not reached over HTTPS or SSH", forms)
	}
	return ep, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (u Upstream) validate() error {
	var ps []fairway.Problem
	add := func(field, message, remedy string) {
		ps = append(ps, fairway.Problem{Field: field, Message: message, Remedy: remedy})
	}
	ep, err := u.endpoint()
	ps = append(ps, fairway.Problems(err)...)
	if ep != nil && ep.Protocol == "ssh" {
		if u.SSHKey == "" {
			add("ssh-key", "is missing", "give the file of a private key that the remote knows, with --ssh-key")
		}
		if strings.TrimSpace(u.KnownHosts) == "" {
			add("ssh-known-hosts", "is missing, so that the remote could be anybody", "write the host's key into a file with: ssh-keyscan HOST > known_hosts, compare it with what the host's owner says, and give it with --ssh-known-hosts")
		}
	}
	if ep != nil && ep.Protocol != "ssh" && u.SSHKey != "" {
		add("ssh-key", "is not used over "+ep.Protocol, "write an address that begins with ssh://")
	}
	if u.Poll < minPoll {
		add("poll", "is too short: "+u.Poll.String(), "use at least 1s")
	}
	return fairway.InvalidAll(ps)
}

// hide takes the secrets out of a text of others.
func (u Upstream) hide(text string) string {
	if u.Password != "" {
		text = strings.ReplaceAll(text, u.Password, "…")
		text = strings.ReplaceAll(text, url.QueryEscape(u.Password), "…")
	}
	return text
}

func (s *Store) upstreamFile(p fairway.ProjectName) string {
	return filepath.Join(s.o.Upstreams, string(p)+".json")
}

// saveUpstream stores the file, which its owner alone can read.
func (s *Store) saveUpstream(p fairway.ProjectName, u Upstream) error {
	if s.o.Upstreams == "" {
		return fairway.Errorf(fairway.KindInternal, "there is no directory for upstreams")
	}
	if err := os.MkdirAll(s.o.Upstreams, 0o700); err != nil {
		return err
	}
	body, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return classify(durable.WriteFile(s.upstreamFile(p), body))
}

// loadUpstreams reads all that are stored.
func (s *Store) loadUpstreams() (map[fairway.ProjectName]Upstream, error) {
	out := map[fairway.ProjectName]Upstream{}
	files, err := filepath.Glob(filepath.Join(s.o.Upstreams, "*.json"))
	if err != nil || s.o.Upstreams == "" {
		return out, err
	}
	var errs []error
	for _, f := range files {
		var u Upstream
		body, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(body, &u)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read the upstream in %s; configure it again: %w", f, err))
			continue
		}
		out[fairway.ProjectName(strings.TrimSuffix(filepath.Base(f), ".json"))] = u
	}
	return out, errors.Join(errs...)
}

// KeepInStep keeps all upstreams in step until ctx ends, and waits for what is
// under way.
func (s *Store) KeepInStep(ctx context.Context) {
	all, err := s.loadUpstreams()
	if err != nil {
		s.log.Error("an upstream is not kept in step", "error", err)
	}
	s.upMu.Lock()
	s.upCtx = ctx
	for p, u := range all {
		y := s.syncer(p)
		if y == nil {
			y = newSyncer(s, p, u)
			s.setSyncer(p, y)
		}
		s.startSyncer(y)
	}
	s.upMu.Unlock()
	<-ctx.Done()
	s.upMu.Lock()
	s.upCtx = nil
	s.upMu.Unlock()
	s.upWG.Wait()
}

// startSyncer begins the loop; the caller holds upMu.
func (s *Store) startSyncer(y *syncer) {
	if s.upCtx == nil {
		return
	}
	ctx, cancel := context.WithCancel(s.upCtx)
	y.cancel = cancel
	s.upWG.Go(func() { y.run(ctx) })
}

// SetUpstream makes the remote the project's upstream, in place of another,
// and brings both in step. The remote must be empty, or its branches must have
// the same history as ours, as far as the shorter one goes; else it is
// refused ([fairway.KindConflict]) and nothing is changed.
func (s *Store) SetUpstream(ctx context.Context, p fairway.ProjectName, u Upstream) (fairway.UpstreamState, error) {
	u = u.withDefaults()
	if err := u.validate(); err != nil {
		return fairway.UpstreamState{}, err
	}
	r, err := s.repo(ctx, p)
	if err != nil {
		return fairway.UpstreamState{}, err
	}
	y := newSyncer(s, p, u)
	if err := y.fits(ctx, r); err != nil {
		return fairway.UpstreamState{}, err
	}
	s.upMu.Lock()
	defer s.upMu.Unlock()
	if err := s.saveUpstream(p, u); err != nil {
		return fairway.UpstreamState{}, err
	}
	s.dropSyncer(p)
	s.setSyncer(p, y)
	state := y.sync(ctx)
	s.startSyncer(y)
	s.log.Info("upstream configured", "project", p, "url", u.URL)
	return state, nil
}

// dropSyncer ends the loop; the caller holds upMu.
func (s *Store) dropSyncer(p fairway.ProjectName) {
	if y := s.syncer(p); y != nil {
		y.stop()
		s.setSyncer(p, nil)
	}
}

// RemoveUpstream forgets the upstream and its secrets; existed is false when
// there was none.
func (s *Store) RemoveUpstream(p fairway.ProjectName) (existed bool, err error) {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	s.dropSyncer(p)
	if s.o.Upstreams == "" {
		return false, nil
	}
	err = os.Remove(s.upstreamFile(p))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = s.disk.syncDir(s.o.Upstreams)
	}
	return err == nil, err
}

func (s *Store) syncer(p fairway.ProjectName) *syncer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.syncers[p]
}

func (s *Store) setSyncer(p fairway.ProjectName, y *syncer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if y == nil {
		delete(s.syncers, p)
		return
	}
	s.syncers[p] = y
}

// Upstream returns how the project's upstream stands; ok is false when it has
// none.
func (s *Store) Upstream(p fairway.ProjectName) (state fairway.UpstreamState, ok bool) {
	y := s.syncer(p)
	if y == nil {
		return state, false
	}
	return y.now(), true
}

// Side is whose content a branch gets that has diverged, or that has a commit
// which is refused here.
type Side string

// The sides.
const (
	Ours   Side = "ours"
	Theirs Side = "theirs"
)

// SyncUpstream brings both in step now. With a side, branches that have
// diverged are joined by a commit that has both as parents and that side's
// content, so that neither loses its history and nothing is forced. Theirs
// goes through the checks of a push.
func (s *Store) SyncUpstream(ctx context.Context, p fairway.ProjectName, take Side, info CommitInfo) (fairway.UpstreamState, error) {
	if take != "" && !slices.Contains([]Side{Ours, Theirs}, take) {
		return fairway.UpstreamState{}, fairway.Invalid("take", string(take), "is no side", "use ours or theirs")
	}
	y := s.syncer(p)
	if y == nil {
		return fairway.UpstreamState{}, fairway.Errorf(fairway.KindNotFound, "project %s has no upstream; give it one with: fairway configure upstream --project %s --url URL", p, p)
	}
	state := y.sync(ctx)
	if take == "" || state.Condition == fairway.UpstreamUnreachable {
		return state, nil
	}
	r, err := s.repo(ctx, p)
	if err != nil {
		return state, err
	}
	for _, b := range state.Branches {
		if b.Condition != fairway.UpstreamDiverged && (b.Condition != fairway.UpstreamRefused || take == Theirs) {
			continue
		}
		if err := r.join(ctx, b, take, info); err != nil {
			return y.now(), err
		}
	}
	return y.sync(ctx), nil
}
