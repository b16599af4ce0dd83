package spa_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser starts Chromium. What its own chain check says of the landscape's certificates is tested in holdfasttest.
func browser(t *testing.T) context.Context {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is needed: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-background-networking", true), chromedp.WindowSize(1280, 900),
	)
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as the context of its first command
		t.Fatal(err)
	}
	return ctx
}

// TestBrowser runs in one browser; every part has tabs and origins of its own.
func TestBrowser(t *testing.T) {
	ctx := browser(t)
	for _, part := range []struct {
		name string
		test func(context.Context, *testing.T)
	}{
		{"sign in", signingIn}, {"the thief finds what is there", thiefFinds}, {"refresh", refreshing}, {"tabs", tabs}, {"refused sign-in", refusedSignIn},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(tab(ctx, t), t) })
	}
}

func tab(ctx context.Context, t *testing.T) context.Context {
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, 60*time.Second)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of its first command
		t.Fatal(err)
	}
	return ctx
}

func run(ctx context.Context, t *testing.T, step string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	within, stop := context.WithTimeout(ctx, 15*time.Second)
	defer stop()
	if err := chromedp.Do(within, actions...); err != nil {
		text, _ := chromedp.Run(ctx, chromedp.OuterHTML("body")) // best effort
		picture(ctx, t, "failed")
		t.Fatalf("%s: %v\n%s", step, err, text)
	}
}

func evaluate[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// pictures keeps screenshots in all circumstances, where HOLDFAST_TEST_PICTURES names a folder.
func picture(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	folder := os.Getenv("HOLDFAST_TEST_PICTURES")
	if folder == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			size := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1}
			if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, size); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond) // colours change gently
			png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(folder, name+"-"+scheme+"-"+strconv.FormatInt(width, 10)+".png")
			if err := os.WriteFile(file, png, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _ = chromedp.Call(ctx, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
}

func signIn(ctx context.Context, t *testing.T, w *world) {
	t.Helper()
	run(ctx, t, "open", chromedp.Navigate(w.app+"/"), chromedp.WaitVisible("#app-login"))
	run(ctx, t, "sign in", chromedp.Click("#app-login"), chromedp.WaitVisible("[data-state=signed-in] #app-user"))
}

func signingIn(ctx context.Context, t *testing.T) {
	w := newWorld(t)
	run(ctx, t, "open", chromedp.Navigate(w.app+"/"), chromedp.WaitVisible("[data-state=signed-out] #app-login"))
	picture(ctx, t, "app-welcome")
	signIn(ctx, t, w)
	if got := evaluate[string](ctx, t, "location.href"); got != w.app+"/" {
		t.Errorf("the code stays in the address: %s", got)
	}
	if w.form.Get("code") != code || w.form.Get("state") != state || w.form.Get("iss") != "https://login.example" {
		t.Errorf("login/end got %v", w.form)
	}
	if got := evaluate[string](ctx, t, `document.getElementById("app-user").textContent`); got != "Alice Adams" {
		t.Errorf("the user is %q", got)
	}
	run(ctx, t, "load", chromedp.Click("#app-call"), chromedp.WaitVisible("#app-orders li"))
	run(ctx, t, "order", chromedp.Click("#app-order"), chromedp.WaitVisible("#app-orders li:nth-child(3)"))
	run(ctx, t, "let the thief look", chromedp.Click("#app-thief"), chromedp.WaitVisible("#app-thief-result"))
	picture(ctx, t, "app-home")
	if got := evaluate[string](ctx, t, `document.getElementById("app-thief-result").dataset.found`); got != "0" {
		t.Errorf("the thief has found %s: %s", got, evaluate[string](ctx, t, `document.getElementById("app-thief-result").innerText`))
	}
	run(ctx, t, "reload", chromedp.Reload(), chromedp.WaitVisible("[data-state=signed-in] #app-user"))
	if w.count("POST /login/end") != 1 {
		t.Error("the code was sent twice")
	}
}

// thiefFinds holds that the panel does look: it finds tokens where they are put before its eyes.
func thiefFinds(ctx context.Context, t *testing.T) {
	w := newWorld(t)
	signIn(ctx, t, w)
	const opaque = "q2W8eR4tY6uI0oP3aS5dF7gH9jK1lZ-xC.vB_nM2qW8eR4tY6uI0oP3aS5dF7gH9jK1lZ"
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	for i, plant := range []string{
		"document.cookie = 'token=" + token + "'", "localStorage.token = '" + token + "'", "sessionStorage.refresh = '" + opaque + "'",
		"window.config = { deep: { token: '" + token + "' } }", "document.body.append('" + opaque + "')", "history.replaceState({ token: '" + token + "' }, '')",
		"new Promise((ok) => { const r = indexedDB.open('db'); r.onupgradeneeded = () => r.result.createObjectStore('s').add('" + token + "', 'k'); r.onsuccess = () => { r.result.close(); ok(''); }; })",
	} {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](plant, chromedp.EvalAwaitPromise)); err != nil {
			t.Fatalf("%s: %v", plant, err)
		}
		want := strconv.Itoa(i + 1)
		run(ctx, t, plant, chromedp.Click("#app-thief"), chromedp.WaitVisible(`#app-thief-result:not([data-found="`+strconv.Itoa(i)+`"])`))
		// One plant may be seen in two places, such as a cookie; each new one must add something.
		if got := evaluate[string](ctx, t, `document.getElementById("app-thief-result").dataset.found`); got < want && len(got) == len(want) {
			t.Errorf("after %s it finds %s", plant, got)
		}
	}
}

func refreshing(ctx context.Context, t *testing.T) {
	w := newWorld(t)
	signIn(ctx, t, w)
	t.Run("RFC 6750 3.1: once after a 401", func(t *testing.T) {
		w.set(func(w *world) { w.live = false })
		run(ctx, t, "load", chromedp.Click("#app-call"), chromedp.WaitVisible("#app-orders li"))
		if n := w.count("POST /refresh"); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("by the button", func(t *testing.T) {
		run(ctx, t, "renew", chromedp.Click("#app-refresh"))
		within(t, func() bool { return w.count("POST /refresh") == 2 })
	})
	t.Run("two seconds before the end", func(t *testing.T) {
		w.set(func(w *world) { w.lifetime = 3 })
		run(ctx, t, "renew", chromedp.Click("#app-refresh"))
		within(t, func() bool { return w.count("POST /refresh") >= 4 })
		w.set(func(w *world) { w.lifetime = 300 })
	})
	t.Run("and then the session has ended", func(t *testing.T) {
		w.set(func(w *world) { w.live, w.dead = false, true })
		run(ctx, t, "load", chromedp.Click("#app-call"), chromedp.WaitVisible("[data-state=expired] #app-login"))
		if got := evaluate[string](ctx, t, `document.getElementById("app-status").textContent`); got != "Your session has ended" {
			t.Errorf("it says %q", got)
		}
		picture(ctx, t, "app-expired")
	})
}

func tabs(one context.Context, t *testing.T) {
	w := newWorld(t)
	run(one, t, "open", chromedp.Navigate(w.app+"/"), chromedp.WaitVisible("#app-login"))
	two := tab(one, t)
	run(two, t, "open in a second tab", chromedp.Navigate(w.app+"/"), chromedp.WaitVisible("#app-login"))
	run(one, t, "sign in", chromedp.Click("#app-login"), chromedp.WaitVisible("[data-state=signed-in] #app-user"))
	run(two, t, "the second follows", chromedp.WaitVisible("[data-state=signed-in] #app-user"))

	w.set(func(w *world) { w.live = false })
	before := w.count("POST /refresh")
	run(one, t, "load in one", chromedp.Evaluate[chromedp.Void](`document.getElementById("app-call").click()`))
	run(two, t, "load in two", chromedp.Click("#app-call"), chromedp.WaitVisible("#app-orders li"))
	run(one, t, "one has them too", chromedp.WaitVisible("#app-orders li"))
	if n := w.count("POST /refresh") - before; n < 1 || n > 2 { // two if the second asked when the first had done
		t.Errorf("%d refreshes", n)
	}

	run(two, t, "sign out", chromedp.Click("#app-logout"), chromedp.WaitVisible("[data-state=signed-out] #app-login"))
	run(one, t, "the first follows", chromedp.WaitVisible("[data-state=signed-out] #app-login"))
	if evaluate[int](one, t, `document.getElementById("app-orders").childElementCount`) != 0 {
		t.Error("orders of somebody who has signed out are still in the page")
	}
}

func refusedSignIn(ctx context.Context, t *testing.T) {
	w := newWorld(t)
	run(ctx, t, "come back with an error", chromedp.Navigate(w.app+"/callback?error=access_denied&state=s"), chromedp.WaitVisible("#app-error .alert"))
	if got := evaluate[string](ctx, t, `document.getElementById("app-error").textContent + location.pathname + location.search`); got != "Nobody has signed in. (access_denied)/" {
		t.Errorf("it says %q", got)
	}
	picture(ctx, t, "app-refused")
}

func within(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
		time.Sleep(50 * time.Millisecond)
	}
}
