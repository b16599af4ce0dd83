package store_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// What was answered as spent stays spent when the process is killed: a child spends as fast as it can, from
// several goroutines, and says so; the parent kills it in the middle and looks.
func TestKilledProcessForgetsNothing(t *testing.T) {
	if url := os.Getenv("HOLDFAST_CRASH_CHILD"); url != "" {
		spendUntilKilled(t, url, os.Getenv("HOLDFAST_CRASH_ROUND"))
		return
	}
	url := storetest.SQLiteURL(t)
	for round := range 5 {
		said := killChild(t, url, round)
		db := open(t, url)
		for _, key := range said {
			if err := db.Spend(t.Context(), store.Spend{Kind: "dpop", Key: key}); !errors.Is(err, store.ErrTaken) {
				t.Errorf("round %d: %s was answered as spent; spending it again: %v", round, key, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killChild kills a child after it has said a few hundred times what it spent, and returns what it said.
func killChild(t *testing.T, url string, round int) (said []string) {
	child := exec.Command(os.Args[0], "-test.run=^TestKilledProcessForgetsNothing$")
	child.Env = append(os.Environ(), "HOLDFAST_CRASH_CHILD="+url, fmt.Sprintf("HOLDFAST_CRASH_ROUND=%d", round))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said = append(said, lines.Text())
		if len(said) == 200+37*round {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = child.Wait() // it was killed
	if len(said) < 200 {
		t.Fatalf("the child ended by itself after %q", said)
	}
	return said[:len(said)-1] // the last line may be half a line
}

func spendUntilKilled(t *testing.T, url, round string) {
	db := open(t, url)
	answered := make(chan string)
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%s-%d-%d", round, g, i)
				if err := db.Spend(t.Context(), store.Spend{Kind: "dpop", Key: key}); err != nil {
					t.Error(err)
					return
				}
				answered <- key
			}
		}()
	}
	for key := range answered {
		fmt.Println(key)
	}
}
