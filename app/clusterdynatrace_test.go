package app

import (
	"encoding/json"
	"testing"

	"github.com/fairwaycd/fairway"
)

// Dynatrace's operator finds tenant and token in one Secret.
func TestDynatraceObjects(t *testing.T) {
	t.Parallel()
	docs, err := dynatraceObjects(fairway.Connection{Kind: fairway.KindDynatrace, URL: "https://abc.live.dynatrace.com/", Token: "t: \"0\""})
	if err != nil || len(docs) != 2 {
		t.Fatalf("%d objects, %v", len(docs), err)
	}
	var secret struct {
		Kind       string
		Metadata   struct{ Name, Namespace string }
		StringData struct{ APIToken, APIURL string }
	}
	if err := json.Unmarshal(docs[1], &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Kind != "Secret" || secret.Metadata.Name != "dynakube" || secret.Metadata.Namespace != "dynatrace" ||
		secret.StringData.APIToken != "t: \"0\"" || secret.StringData.APIURL != "https://abc.live.dynatrace.com/api" {
		t.Errorf("%+v", secret)
	}
}
