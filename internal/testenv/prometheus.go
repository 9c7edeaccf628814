package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Scrape says what a Prometheus reads, four times a second, and how it is
// itself asked.
type Scrape struct {
	Job     string
	Address string // HOST:PORT that is scraped
	// Config stands in place of Job and Address: the scrape_configs as YAML.
	Config   string
	TLS      bool   // serve with a certificate of an authority of its own
	User     string // ask for this name and Password
	Password string
}

// Server is a program that runs until the test's end.
type Server struct {
	URL string
	CA  string // PEM of the authority that signed the server's certificate
}

// Prometheus runs Debian's Prometheus. It may not be ready yet when the
// function returns.
func Prometheus(t testing.TB, s Scrape) Server {
	t.Helper()
	server, stop, err := StartPrometheus(Need(t, "prometheus"), t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return server
}

// StartPrometheus runs a Prometheus with its files in dir until stop is called.
func StartPrometheus(program, dir string, s Scrape) (server Server, stop func(), err error) {
	address, err := freeAddress()
	if err != nil {
		return Server{}, nil, err
	}
	server.URL = "http://" + address
	if s.Config == "" {
		s.Config = fmt.Sprintf("- job_name: %s\n  static_configs: [{targets: ['%s']}]\n", s.Job, s.Address)
	}
	files := map[string]string{"prometheus.yml": "global: {scrape_interval: 250ms, scrape_timeout: 250ms}\nscrape_configs:\n" + s.Config}
	args := []string{"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address}
	if web, err := s.web(&server, files); err != nil {
		return Server{}, nil, err
	} else if web != "" {
		files["web.yml"] = web
		args = append(args, "--web.config.file="+filepath.Join(dir, "web.yml"))
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return Server{}, nil, err
		}
	}
	c := exec.Command(program, args...)
	if err := c.Start(); err != nil {
		return Server{}, nil, err
	}
	return server, func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	}, nil
}

// web returns the configuration of the server's own door, and adds its files.
func (s Scrape) web(server *Server, files map[string]string) (string, error) {
	var text strings.Builder
	if s.TLS {
		cert, key, err := certificate()
		if err != nil {
			return "", err
		}
		files["cert.pem"], files["key.pem"] = cert, key
		server.CA, server.URL = cert, strings.Replace(server.URL, "http:", "https:", 1)
		text.WriteString("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
	}
	if s.User != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(s.Password), bcrypt.MinCost)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "basic_auth_users: {%s: '%s'}\n", s.User, hash)
	}
	return text.String(), nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// certificate makes one for this machine, signed by itself.
func certificate() (cert, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), nil
}
