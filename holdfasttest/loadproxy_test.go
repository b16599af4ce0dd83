package holdfasttest_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/gateway"
)

// kilobyte is what the API behind answers.
var kilobyte = bytes.Repeat([]byte("x"), 1<<10)

const (
	upstreamVariable = "HOLDFAST_UPSTREAM_SERVER" // the folder of its certificate
	protocolVariable = "HOLDFAST_UPSTREAM_PROTOCOL"
	proxyVariable    = "HOLDFAST_PROXY_SERVER" // the folder with certificates and the address of the API
)

// serveUpstream runs the API behind, which takes whoever has some certificate.
func serveUpstream(b *testing.B, folder, protocol string) *served {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), upstreamVariable+"="+folder, protocolVariable+"="+protocol)
	return launch(b, cmd, "upstream: ")
}

// beUpstream is the process that serveUpstream starts.
func beUpstream() error {
	folder := os.Getenv(upstreamVariable)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(kilobyte) }),
		TLSConfig: &tls.Config{ClientAuth: tls.RequireAnyClientCert},
		Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(os.Getenv(protocolVariable) == "HTTP/2")
	fmt.Printf("upstream: %s\n", l.Addr())
	return server.ServeTLS(l, filepath.Join(folder, "ca", "orders.pem"), filepath.Join(folder, "ca", "orders.key"))
}

// serveProxy runs a bare httputil.ReverseProxy.
func serveProxy(b *testing.B, folder string) *served {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), proxyVariable+"="+folder, "GOMAXPROCS=1")
	return launch(b, cmd, "proxy: ")
}

// beProxy is the process that serveProxy starts. Its way to the API is that of the gateway, and its buffers are lent.
func beProxy() error {
	folder := os.Getenv(proxyVariable)
	root, err := os.ReadFile(filepath.Join(folder, "ca", "root.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		return errors.New("no root")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "partners", "gateway.pem"), filepath.Join(folder, "partners", "gateway.key"))
	if err != nil {
		return err
	}
	up := gateway.NewUpstream(pool)
	if err := up.Use(pair); err != nil {
		return err
	}
	at, err := os.ReadFile(filepath.Join(folder, "upstream"))
	if err != nil {
		return err
	}
	target, err := url.Parse(string(at))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("proxy: %s\n", l.Addr())
	return http.Serve(l, &httputil.ReverseProxy{
		Transport: up, BufferPool: new(lent), Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.SetXForwarded() },
	})
}

// lent is httputil.BufferPool.
type lent struct{ pool sync.Pool }

func (l *lent) Get() []byte {
	if p, ok := l.pool.Get().(*[32 << 10]byte); ok {
		return p[:]
	}
	return make([]byte, 32<<10)
}

func (l *lent) Put(p []byte) { l.pool.Put((*[32 << 10]byte)(p)) }

// nginxProxy is nginx with one worker and without a log, otherwise as the others: plain before, mutual TLS behind.
const nginxProxy = `
daemon off;
master_process off;
pid @folder/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path @folder/body; proxy_temp_path @folder/proxy;
  fastcgi_temp_path @folder/fastcgi; uwsgi_temp_path @folder/uwsgi; scgi_temp_path @folder/scgi;
  upstream orders {
    server 127.0.0.1:@behind;
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen @address;
    location / {
      proxy_pass https://orders;
      proxy_http_version 1.1;
      proxy_set_header Host @name;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_ssl_certificate @data/partners/gateway.pem;
      proxy_ssl_certificate_key @data/partners/gateway.key;
      proxy_ssl_trusted_certificate @data/ca/root.pem;
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 2;
      proxy_ssl_name @name;
    }
  }
}
`

// serveNginx runs nginx, in one process, until the benchmark ends.
func (g *gate) serveNginx(b *testing.B) *served {
	b.Helper()
	program, folder, address := nginxProgram(b), b.TempDir(), freeAddress(b)
	file := filepath.Join(folder, "nginx.conf")
	write(b, file, strings.NewReplacer(
		"@folder", folder, "@data", g.folder, "@address", address, "@behind", portOf(g.upstream), "@name", loadUpstream,
	).Replace(nginxProxy))
	cmd := exec.Command(program, "-p", folder, "-c", file)
	cmd.Stderr = os.Stderr
	spawn(b, cmd)
	for range 500 {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close() // only to see that somebody answers
			return &served{address: address, pid: cmd.Process.Pid}
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal("nginx does not answer")
	return nil
}
