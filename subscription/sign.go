package subscription

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// secretPrefix begins a secret, as Standard Webhooks has it.
const secretPrefix = "whsec_"

// newSecret returns a secret of 32 random bytes.
func newSecret() fairway.Secret {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return fairway.Secret(secretPrefix + base64.StdEncoding.EncodeToString(b))
}

// Sign sets the headers by which the receiver knows that the body is ours, and
// new: webhook-id, webhook-timestamp and webhook-signature, with a signature
// for each secret.
func Sign(h http.Header, id string, at time.Time, body []byte, secrets []fairway.Secret) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	var all []string
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(s), secretPrefix))
		if err != nil {
			continue // made by newSecret; a damaged file is refused when it is read
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", strings.Join(all, " "))
}
