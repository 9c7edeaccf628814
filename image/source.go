package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fairwaycd/fairway"
)

// localUser is the user name that goes with the local registry's token.
const localUser = "fairway"

// source is where one artifact is pulled from.
type source struct {
	artifact fairway.Artifact
	repo     name.Repository
	local    bool
	project  fairway.ProjectName // that has the registry; empty: none has
	options  []remote.Option
}

// source tells the local registry from others, and finds what the project has
// for those.
func (s *Store) source(p fairway.ProjectName, a fairway.Artifact) (*source, error) {
	full, local := s.locate(a.Image)
	if !local {
		if r, ok := s.o.Registry(p, full); ok {
			return s.elsewhere(r, a)
		}
	}
	var options []name.Option
	if local {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(full, options...)
	if err != nil {
		return nil, noRepository(a)
	}
	src := &source{artifact: a, repo: repo, local: local}
	switch {
	case !local:
		src.options = append(src.options, remote.WithAuthFromKeychain(s.o.Keychain))
	case s.o.Local.Token != nil:
		src.options = append(src.options, remote.WithAuth(&authn.Basic{Username: localUser, Password: s.o.Local.Token()}))
	}
	return src, nil
}

func noRepository(a fairway.Artifact) error {
	return fairway.Invalid("image", a.Image, "is not an image repository", "write HOST/PATH/NAME in lower case, without a tag")
}

// locate returns the image's name with the host that it is pulled from.
func (s *Store) locate(image string) (full string, local bool) {
	host, path, found := strings.Cut(image, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return s.o.Local.Host + "/" + image, true
	}
	for _, own := range append([]string{s.o.Local.Host}, s.o.Local.Former...) {
		if sameHost(host, own) {
			return s.o.Local.Host + "/" + path, true
		}
	}
	return image, false
}

// sameHost reports whether two HOST:PORT mean one listener, as localhost and
// 127.0.0.1 do.
func sameHost(a, b string) bool {
	if a == b {
		return true
	}
	ah, ap, err1 := net.SplitHostPort(a)
	bh, bp, err2 := net.SplitHostPort(b)
	return err1 == nil && err2 == nil && ap == bp && isLoopback(ah) && isLoopback(bh)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *source) opts(ctx context.Context) []remote.Option {
	return append([]remote.Option{remote.WithContext(ctx)}, s.options...)
}

// digest asks for a tag's digest.
func (s *source) digest(ctx context.Context, tag string) (string, error) {
	ref := s.repo.Tag(tag)
	d, err := remote.Head(ref, s.opts(ctx)...)
	if err == nil {
		return d.Digest.String(), nil
	}
	// Some registries answer HEAD badly, and its errors say little.
	full, err := remote.Get(ref, s.opts(ctx)...)
	if err != nil {
		return "", err
	}
	return full.Digest.String(), nil
}

// image returns the image of a digest, or from an index the one for p.
func (s *source) image(ctx context.Context, digest string, p v1.Platform) (v1.Image, error) {
	d, err := remote.Get(s.repo.Digest(digest), s.opts(ctx)...)
	if err != nil {
		return nil, err
	}
	if d.MediaType.IsIndex() {
		index, err := d.ImageIndex()
		if err != nil {
			return nil, err
		}
		return s.choose(index, p)
	}
	if !d.MediaType.IsImage() {
		return nil, fairway.Errorf(fairway.KindRefused, "%s is no image but a %s; push an image under this tag", s.artifact, d.MediaType)
	}
	img, err := d.Image()
	if err != nil {
		return nil, err
	}
	return img, s.fits(img, p)
}

// fits refuses an image whose configuration names another platform.
func (s *source) fits(img v1.Image, p v1.Platform) error {
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	if m.Config.MediaType != types.OCIConfigJSON && m.Config.MediaType != types.DockerConfigJSON {
		return fairway.Errorf(fairway.KindRefused, "%s is no image that can run: its configuration is a %s; push an image under this tag", s.artifact, m.Config.MediaType)
	}
	c, err := img.ConfigFile()
	if err != nil {
		return err
	}
	if c.OS == p.OS && c.Architecture == p.Architecture {
		return nil
	}
	return s.wrongPlatform([]string{c.OS + "/" + c.Architecture}, p)
}

// choose takes the image for p out of an index. Attestations have the platform
// unknown/unknown and are none.
func (s *source) choose(index v1.ImageIndex, p v1.Platform) (v1.Image, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var there []string
	for _, d := range m.Manifests {
		if d.Platform != nil && d.Platform.OS == "unknown" || !d.MediaType.IsImage() {
			continue
		}
		if d.Platform == nil || d.Platform.OS == p.OS && d.Platform.Architecture == p.Architecture {
			img, err := index.Image(d.Digest)
			if err != nil {
				return nil, err
			}
			if d.Platform != nil {
				return img, nil
			}
			// The index does not say; the image does.
			c, err := img.ConfigFile()
			if err != nil {
				return nil, err
			}
			if c.OS == p.OS && c.Architecture == p.Architecture {
				return img, nil
			}
			there = append(there, c.OS+"/"+c.Architecture)
			continue
		}
		there = append(there, d.Platform.OS+"/"+d.Platform.Architecture)
	}
	return nil, s.wrongPlatform(there, p)
}

func (s *source) wrongPlatform(there []string, p v1.Platform) error {
	slices.Sort(there)
	has := strings.Join(slices.Compact(there), ", ")
	if has == "" {
		has = "no platform at all"
	}
	return fairway.Errorf(fairway.KindRefused,
		"the image %s is for %s, and this machine is %s/%s; build it for %[3]s/%[4]s: GOOS=%[3]s GOARCH=%[4]s go build, or docker buildx build --platform %[3]s/%[4]s",
		s.artifact, has, p.OS, p.Architecture)
}

// explain turns a registry's error into one of ours, with what to do about it.
// Errors of ours pass.
func (s *source) explain(err error) error {
	var refused *transport.Error
	if errors.As(err, &refused) {
		return s.explainStatus(refused)
	}
	if fairway.KindOf(err) != fairway.KindInternal {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("fetch %s: %w", s.artifact, err)
	}
	var path *fs.PathError
	var link *os.LinkError
	if isDiskError(err) || errors.As(err, &path) || errors.As(err, &link) {
		return diskError(err)
	}
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the image %s could not be fetched from %s: %w", s.artifact, s.repo.RegistryStr(), err))
}

func (s *source) explainStatus(e *transport.Error) error {
	where := s.repo.RegistryStr()
	switch {
	case e.StatusCode == http.StatusNotFound && s.local:
		ref := s.repo.Name() + ":" + s.artifact.Tag
		return fairway.Errorf(fairway.KindNotFound,
			"the image %s is not in this Fairway's registry; push it there: fairway image push --binary PROGRAM %s (from a program), crane copy SOURCE %[2]s (from another registry), or docker push %[2]s", s.artifact, ref)
	case e.StatusCode == http.StatusNotFound:
		return fairway.Errorf(fairway.KindNotFound, "the registry %s has no image %s; check name and tag", where, s.artifact)
	case (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden) && s.project != "":
		return fairway.Errorf(fairway.KindUnauthorized, "the registry %s does not let project %s read %s (a missing image may be answered like this too); give it other credentials with: fairway registry add", where, s.project, s.artifact)
	case e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden:
		return fairway.Errorf(fairway.KindUnauthorized, "the registry %s does not let us read %s (a missing image may be answered like this too); log in with: docker login %[1]s", where, s.artifact)
	case e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500:
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "the registry %s answered %d when asked for %s: %w", where, e.StatusCode, s.artifact, e))
	}
	return fairway.Errorf(fairway.KindRefused, "the registry %s answered %d when asked for %s: %w", where, e.StatusCode, s.artifact, e)
}

func isDiskError(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// diskError classes an error of writing to the image directory.
func diskError(err error) error {
	if isDiskError(err) {
		return fairway.Retryable(fairway.Errorf(fairway.KindFull, "the disk that holds the images is full; make room there: %w", err))
	}
	return err
}
