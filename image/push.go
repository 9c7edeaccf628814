package image

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fairwaycd/fairway"
)

// Credentials are a user's at a registry. The zero value stands for what
// Docker's configuration has for it.
type Credentials struct{ User, Token string }

// Push pushes the image to ref, which is HOST/PATH/NAME:TAG, and returns its
// digest. The tag is set also when it named that image before, so that every
// call counts as a push. Hosts that are loopback or private addresses may be plain HTTP. When
// the registry is Fairway's, success means that the delivery is recorded.
func Push(ctx context.Context, img v1.Image, ref string, c Credentials) (digest string, err error) {
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return "", fairway.Invalid("image", ref, "is not an image with a tag", "write HOST/PATH/NAME:TAG in lower case, e.g. 127.0.0.1:8080/sockshop/carts:0.6.0-1")
	}
	auth := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if c != (Credentials{}) {
		auth = remote.WithAuth(&authn.Basic{Username: c.User, Password: c.Token})
	}
	h, err := img.Digest()
	if err != nil {
		return "", err
	}
	// By digest first, and then the tag by itself: pushed in one go, the tag
	// would be left out when it names the image already, and nobody told.
	options := []remote.Option{auth, remote.WithContext(ctx)}
	if err = remote.Write(tag.Digest(h.String()), img, options...); err == nil {
		err = remote.Put(tag, img, options...)
	}
	if err != nil {
		return "", pushError(tag, err)
	}
	return h.String(), nil
}

func pushError(tag name.Tag, err error) error {
	host := tag.RegistryStr()
	var e *transport.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "push %s: the registry %s cannot be reached; is it running there? %w", tag, host, err))
	}
	said := e.Error()
	if len(e.Errors) == 1 && e.Errors[0].Message != "" {
		said = e.Errors[0].Message
	}
	switch {
	case e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden:
		return fairway.Errorf(fairway.KindUnauthorized, "push %s: the registry %s does not let us; run: fairway login (for Fairway's registry), or docker login %[2]s", tag, host)
	case e.StatusCode == http.StatusInsufficientStorage:
		return fairway.Retryable(fairway.Errorf(fairway.KindFull, "push %s: %s", tag, said))
	case e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500:
		return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "push %s: %s", tag, said))
	}
	return fairway.Errorf(fairway.KindRefused, "push %s: the registry answered %d: %s", tag, e.StatusCode, said)
}
