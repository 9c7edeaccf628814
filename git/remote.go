package git

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	packsideband "github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/fairwaycd/fairway"
)

// remote speaks with an upstream, by go-git's transports.
type remote struct {
	client transport.Transport
	ep     *transport.Endpoint
	auth   transport.AuthMethod
	// stranger is why the last host key was not accepted.
	stranger error
}

const dialTimeout = 15 * time.Second

func (y *syncer) dial() (*remote, error) {
	ep, err := y.up.endpoint()
	if err != nil {
		return nil, err
	}
	m := &remote{ep: ep}
	if ep.Protocol == "ssh" {
		return m, m.overSSH(y.up)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if y.up.CA != "" && !pool.AppendCertsFromPEM([]byte(y.up.CA)) {
		return nil, fairway.Invalid("ca", "", "holds no certificate", "give a file of certificates in PEM")
	}
	m.client = githttp.NewClient(&http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: time.Minute,
	}})
	if y.up.Password != "" {
		m.auth = &githttp.BasicAuth{Username: y.up.Username, Password: y.up.Password}
	}
	return m, nil
}

// overSSH accepts the host keys of the given known_hosts and no others.
func (m *remote) overSSH(u Upstream) error {
	if m.ep.User == "" {
		m.ep.User = gitssh.DefaultUsername
	}
	keys, err := gitssh.NewPublicKeys(m.ep.User, []byte(u.SSHKey), "")
	if err != nil {
		return fairway.Invalid("ssh-key", "", "is not a private key without a passphrase", "make one with: ssh-keygen -t ed25519 -N '' -f FILE, and let the remote know FILE.pub")
	}
	file, err := os.CreateTemp("", "known_hosts")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(u.KnownHosts)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	known, err := gitssh.NewKnownHostsDb(file.Name())
	if err != nil {
		return fairway.Invalid("ssh-known-hosts", "", "cannot be read: "+strings.ReplaceAll(err.Error(), file.Name(), "known_hosts"), "write it with: ssh-keyscan HOST > known_hosts")
	}
	port := m.ep.Port
	if port == 0 {
		port = gitssh.DefaultPort
	}
	check := known.HostKeyCallback()
	keys.HostKeyAlgorithms = known.HostKeyAlgorithms(net.JoinHostPort(m.ep.Host, strconv.Itoa(port)))
	keys.HostKeyCallback = func(host string, addr net.Addr, key ssh.PublicKey) error {
		err := check(host, addr, key)
		if err != nil {
			m.stranger = strange(err, host, key)
		}
		return err
	}
	m.auth, m.client = patient{keys}, gitssh.NewClient(nil)
	return nil
}

// patient bounds how long a connection may take to come about.
type patient struct{ *gitssh.PublicKeys }

// ClientConfig implements the transport's AuthMethod.
func (p patient) ClientConfig() (*ssh.ClientConfig, error) {
	c, err := p.PublicKeys.ClientConfig()
	if err == nil {
		c.Timeout = dialTimeout
	}
	return c, err
}

func strange(err error, host string, key ssh.PublicKey) error {
	var k *knownhosts.KeyError
	print := ssh.FingerprintSHA256(key)
	if errors.As(err, &k) && len(k.Want) > 0 {
		return fairway.Errorf(fairway.KindRefused, "the host key of %s has changed to %s: somebody may stand between; if its owner says that it is right, give the new one with --ssh-known-hosts", host, print)
	}
	return fairway.Errorf(fairway.KindRefused, "the host key %s of %s is not in known_hosts; compare it with what the host's owner says, write it with: ssh-keyscan HOST > known_hosts, and give that with --ssh-known-hosts", print, host)
}

// failed says what went wrong, for people.
func (m *remote) failed(what string, err error) error {
	switch {
	case m.stranger != nil:
		return m.stranger
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), strings.Contains(err.Error(), "unable to authenticate"):
		return fairway.Errorf(fairway.KindUnavailable, "%s %s: it does not accept the credentials; give others with: fairway configure upstream", what, m.ep)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fairway.Errorf(fairway.KindUnavailable, "%s %s: there is no such repository, or the credentials may not see it", what, m.ep)
	}
	return fairway.Errorf(fairway.KindUnavailable, "%s %s: %w", what, m.ep, err)
}

// refs returns the remote's branches.
func (m *remote) refs(ctx context.Context) (refs, error) {
	s, err := m.client.NewUploadPackSession(m.ep, m.auth)
	if err != nil {
		return nil, m.failed("reach", err)
	}
	defer s.Close()
	ar, err := s.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return refs{}, nil
	}
	if err != nil {
		return nil, m.failed("ask", err)
	}
	out := refs{}
	for name, h := range ar.References {
		if strings.HasPrefix(name, headsPrefix) {
			out[name] = h
		}
	}
	return out, nil
}

// recentHaves is how many of our commits a fetch tells the remote.
const recentHaves = 64

// fetch stores the commit and all it needs. Nothing points to it yet.
func (m *remote) fetch(ctx context.Context, r *repo, want hash, theirs refs) error {
	s, err := m.client.NewUploadPackSession(m.ep, m.auth)
	if err != nil {
		return m.failed("reach", err)
	}
	defer s.Close()
	ar, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return m.failed("ask", err)
	}
	req := packp.NewUploadPackRequestFromCapabilities(ar.Capabilities)
	req.Wants = []plumbing.Hash{want}
	if req.Haves, err = haves(r, theirs); err != nil {
		return err
	}
	answer, err := s.UploadPack(ctx, req)
	if err != nil {
		return m.failed("fetch from", err)
	}
	defer answer.Close()
	var pack io.Reader = answer
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = packsideband.NewDemuxer(packsideband.Sideband64k, answer)
	case req.Capabilities.Supports(capability.Sideband):
		pack = packsideband.NewDemuxer(packsideband.Sideband, answer)
	}
	in, err := r.receive(pack)
	defer in.drop()
	if err == nil {
		err = in.keep()
	}
	if err == nil && !r.has(want) {
		err = fmt.Errorf("it did not send commit %s", want)
	}
	if err != nil {
		return m.failed("fetch from", err)
	}
	return nil
}

// haves are the remote's tips that we have, and our latest commits.
func haves(r *repo, theirs refs) ([]plumbing.Hash, error) {
	var list, tips []hash
	for _, h := range theirs {
		if r.has(h) {
			list = append(list, h)
		}
	}
	all := *r.refs.Load()
	for _, b := range all.branches() {
		tips = append(tips, all[headsPrefix+b])
	}
	err := walkCommits(r, tips, func(h hash, _ commit) (bool, error) {
		list = append(list, h)
		return len(list) < recentHaves, nil
	})
	return list, err
}

// push moves the remote's branch from where it was seen to our commit. refused
// is what the remote said when it did not want that.
func (m *remote) push(ctx context.Context, r *repo, b fairway.UpstreamBranch, theirs refs) (refused string, err error) {
	s, err := m.client.NewReceivePackSession(m.ep, m.auth)
	if err != nil {
		return "", m.failed("reach", err)
	}
	defer s.Close()
	ar, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return "", m.failed("push to", err)
	}
	old, _ := parseHash(b.Theirs)
	new, _ := parseHash(b.Ours)
	req := packp.NewReferenceUpdateRequestFromCapabilities(ar.Capabilities)
	var said bytes.Buffer
	if ar.Capabilities.Supports(capability.Sideband64k) {
		_ = req.Capabilities.Set(capability.Sideband64k) // the list is ours
		req.Progress = &said
	}
	req.Commands = []*packp.Command{{Name: plumbing.ReferenceName(headsPrefix + b.Branch), Old: old, New: new}}
	var pack bytes.Buffer
	if err := r.packFor(&pack, new, theirs); err != nil {
		return "", err
	}
	req.Packfile = io.NopCloser(&pack)
	report, err := s.ReceivePack(ctx, req)
	if report != nil && report.Error() != nil {
		return verdictOf(report, said.String()), nil
	}
	if err != nil {
		return "", m.failed("push to", err)
	}
	return "", nil
}

// packFor writes what a remote with these branches lacks of the commit.
func (r *repo) packFor(w io.Writer, want hash, theirs refs) error {
	sel := selection{wants: []hash{want}}
	for _, h := range theirs {
		if r.has(h) {
			sel.haves = append(sel.haves, h)
		}
	}
	commits, edges, err := sel.missing(r)
	if err != nil {
		return err
	}
	list, err := closure(r, commits, edges)
	if err != nil {
		return err
	}
	if list == nil {
		list = []hash{}
	}
	return r.copyPack(w, list, true)
}

// verdictOf puts together what the remote's server and its hooks said.
func verdictOf(report *packp.ReportStatus, said string) string {
	why := report.UnpackStatus
	for _, c := range report.CommandStatuses {
		if c.Error() != nil {
			why = c.Status
		}
	}
	if said = strings.Join(strings.Fields(said), " "); said != "" {
		why += " (" + clip(said) + ")"
	}
	return why
}
