package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fairwaycd/fairway"
)

// maxTags is how many tags of one repository are read.
const maxTags = 200_000

// elsewhere is the source of an image in a registry that a project has.
func (s *Store) elsewhere(r fairway.Registry, a fairway.Artifact) (*source, error) {
	var options []name.Option
	if r.Plain() {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(fairway.CanonicalImage(a.Image), options...)
	if err != nil {
		return nil, noRepository(a)
	}
	src := &source{artifact: a, repo: repo, project: r.Project}
	if r.Username != "" {
		src.options = append(src.options, remote.WithAuth(&authn.Basic{Username: r.Username, Password: string(r.Password)}))
	} else {
		src.options = append(src.options, remote.WithAuthFromKeychain(s.o.Keychain))
	}
	way, err := s.way(r)
	if err != nil {
		return nil, err
	}
	src.options = append(src.options, remote.WithTransport(way))
	return src, nil
}

// secured sends nothing without TLS: the library would try plain HTTP at
// addresses that it takes for this machine's or its neighbours'.
type secured struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s secured) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("it was not asked without TLS")
	}
	return s.RoundTripper.RoundTrip(r)
}

// Own reports whether the image lies in the registry inside this process.
func (s *Store) Own(image string) bool {
	_, own := s.locate(image)
	return own
}

// way returns the transport to a registry: one that trusts its certificates
// beside the system's.
func (s *Store) way(r fairway.Registry) (http.RoundTripper, error) {
	switch {
	case r.Plain():
		return remote.DefaultTransport, nil
	case r.CA == "":
		return secured{remote.DefaultTransport}, nil
	}
	ca := r.CA
	s.mu.Lock()
	defer s.mu.Unlock()
	if way, ok := s.ways[ca]; ok {
		return way, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, fairway.Invalid("ca", "", "holds no certificate in PEM form", "give the file of the authority that signed the registry's certificate: -----BEGIN CERTIFICATE-----")
	}
	trusting := remote.DefaultTransport.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	s.ways[ca] = secured{trusting}
	return s.ways[ca], nil
}

// explain adds how long to wait.
func (q *asked) explain(err error) error {
	q.forget()
	err = q.source.explain(untrusted(q.repo, err))
	var e *transport.Error
	if errors.As(err, &e) && (e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500) {
		return busyError{err, *q.wait}
	}
	return err
}

// untrusted explains certificates that are not believed.
func untrusted(repo name.Repository, err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return fairway.Errorf(fairway.KindRefused, "the registry %s has a certificate of an authority that is not trusted; give the authority's certificate: --ca FILE", repo.RegistryStr())
	case errors.As(err, &host):
		return fairway.Errorf(fairway.KindRefused, "the registry %s shows the certificate of another host: %v", repo.RegistryStr(), host)
	}
	return err
}

// Tags lists the tags of a repository of the registry, in no order. Errors are
// those of [Store.Resolve]; KindNotFound also for a repository without tags
// that the registry does not know yet. One with a method RetryAfter says how
// long the registry wants to be left alone.
func (s *Store) Tags(ctx context.Context, r fairway.Registry, image string) ([]string, error) {
	q, ctx, err := s.ask(ctx, r, fairway.Artifact{Image: image})
	if err != nil {
		return nil, err
	}
	pages, err := q.puller.Lister(ctx, q.repo)
	if err != nil {
		return nil, q.tagsError(err)
	}
	var all []string
	for pages.HasNext() {
		page, err := pages.Next(ctx)
		if err != nil {
			return nil, q.tagsError(err)
		}
		if all = append(all, page.Tags...); len(all) > maxTags {
			return nil, fairway.Errorf(fairway.KindRefused, "%s has more than %d tags; remove old ones there", image, maxTags)
		}
	}
	return all, nil
}

// tagsError explains why tags cannot be listed.
func (q *asked) tagsError(err error) error {
	where, image := q.repo.RegistryStr(), q.artifact.Image
	var e *transport.Error
	if errors.As(err, &e) && e.StatusCode == http.StatusNotFound {
		return fairway.Errorf(fairway.KindNotFound, "the registry %s has no %s", where, image)
	}
	q.forget()
	err = untrusted(q.repo, err)
	switch {
	case fairway.KindOf(err) != fairway.KindInternal || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case e == nil:
		return fairway.Errorf(fairway.KindUnavailable, "the registry %s cannot be reached: %w", where, err)
	case e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden:
		return fairway.Errorf(fairway.KindUnauthorized, "the registry %s does not let project %s see the tags of %s (a missing image may be answered like this too); give it other credentials with: fairway registry add", where, q.project, image)
	case e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500:
		return busyError{fairway.Errorf(fairway.KindUnavailable, "the registry %s answered %d when asked for the tags of %s: %w", where, e.StatusCode, image, err), *q.wait}
	}
	return fairway.Errorf(fairway.KindRefused, "the registry %s answered %d when asked for the tags of %s: %w", where, e.StatusCode, image, err)
}

// Digest returns the artifact with the digest that its tag has now in the
// registry, whatever the store knows of it.
func (s *Store) Digest(ctx context.Context, r fairway.Registry, a fairway.Artifact) (fairway.Artifact, error) {
	q, ctx, err := s.ask(ctx, r, a)
	if err != nil {
		return a, err
	}
	ref := q.repo.Tag(a.Tag)
	var d *v1.Descriptor
	if d, err = q.puller.Head(ctx, ref); err != nil {
		full, err := q.puller.Get(ctx, ref) // see source.digest
		if err != nil {
			return a, q.explain(err)
		}
		d = &full.Descriptor
	}
	a.Digest = d.Digest.String()
	return a, nil
}

// Created returns when the artifact's image was built, as its configuration
// says; of an index that of its first image. What says nothing has the zero
// time.
func (s *Store) Created(ctx context.Context, r fairway.Registry, a fairway.Artifact) (time.Time, error) {
	q, ctx, err := s.ask(ctx, r, a)
	if err != nil {
		return time.Time{}, err
	}
	d, err := q.puller.Get(ctx, q.repo.Tag(a.Tag))
	if err != nil {
		return time.Time{}, q.explain(err)
	}
	if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
		return time.Time{}, nil
	}
	img, err := d.Image()
	if d.MediaType.IsIndex() {
		img, err = firstImage(d)
	}
	if err != nil {
		return time.Time{}, q.explain(err)
	}
	if img == nil {
		return time.Time{}, nil
	}
	c, err := img.ConfigFile()
	if err != nil {
		return time.Time{}, q.explain(err)
	}
	return c.Created.Time, nil
}

// firstImage returns the first image of an index, nil where there is none.
func firstImage(d *remote.Descriptor) (v1.Image, error) {
	index, err := d.ImageIndex()
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, one := range m.Manifests {
		if one.MediaType.IsImage() {
			return index.Image(one.Digest)
		}
	}
	return nil, nil
}

// Reach asks whether the registry answers and takes the credentials, as far
// as it says so before an image is asked for.
func (s *Store) Reach(ctx context.Context, r fairway.Registry) error {
	q, ctx, err := s.ask(ctx, r, fairway.Artifact{Image: r.Host() + "/fairway"})
	if err != nil {
		return err
	}
	var auth authn.Authenticator
	if r.Username != "" {
		auth = &authn.Basic{Username: r.Username, Password: string(r.Password)}
	} else if auth, err = s.o.Keychain.Resolve(q.repo.Registry); err != nil {
		return fmt.Errorf("read Docker's configuration: %w", err)
	}
	err = q.reach(ctx, auth, r.Plain())
	if fairway.KindOf(err) == fairway.KindUnauthorized && auth == authn.Anonymous {
		return nil // it tells strangers nothing before they ask for an image
	}
	return err
}

func (q *asked) reach(ctx context.Context, auth authn.Authenticator, plain bool) error {
	way, err := transport.NewWithContext(ctx, q.repo.Registry, auth, q.way, nil)
	if err != nil {
		return q.reachError(err)
	}
	// The way knows how to log in, and has not done so yet unless for a token.
	scheme := "https://"
	if plain {
		scheme = "http://"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+q.repo.RegistryStr()+"/v2/", nil)
	if err != nil {
		return err
	}
	answer, err := way.RoundTrip(request)
	if err != nil {
		return q.reachError(err)
	}
	defer answer.Body.Close()
	return q.reachError(transport.CheckError(answer, http.StatusOK))
}

func (q *asked) reachError(err error) error {
	if err == nil {
		return nil
	}
	if err = untrusted(q.repo, err); fairway.KindOf(err) != fairway.KindInternal {
		return err
	}
	var e *transport.Error
	where := q.repo.RegistryStr()
	switch {
	case errors.As(err, &e) && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden):
		return fairway.Errorf(fairway.KindUnauthorized, "the registry %s does not take the credentials; give others: --username NAME --password-stdin", where)
	case errors.As(err, &e):
		return fairway.Errorf(fairway.KindUnavailable, "the registry %s answered %d to a first question; is it a registry? %w", where, e.StatusCode, err)
	}
	return fairway.Errorf(fairway.KindUnavailable, "the registry %s cannot be reached: %w", where, err)
}

// hubKey is the name under which Docker's configuration has Docker Hub.
const hubKey = "https://index.docker.io/v1/"

// PullSecret returns the registry's credentials in the form of Docker's
// config.json, as a Secret of type kubernetes.io/dockerconfigjson holds them.
func PullSecret(r fairway.Registry) ([]byte, error) {
	host := r.Host()
	if host == "docker.io" {
		host = hubKey
	}
	config := map[string]json.RawMessage{}
	if err := setLogin(config, host, r.Username, string(r.Password)); err != nil {
		return nil, fmt.Errorf("write the pull secret of registry %s: %w", r.Name, err)
	}
	return json.Marshal(config)
}
