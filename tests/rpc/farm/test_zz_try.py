import subprocess, sys
from .processes import eventually, free
def test_runner(farm, tracker, tmp_path):
    farm.board("one"); farm.gateway("one","--tracker",tracker); eventually(lambda: free(tracker)==1)
    done = subprocess.run([sys.executable,"/tmp/runner_try.py",str(tracker.port),str(tmp_path)],capture_output=True,text=True,timeout=200)
    print(done.stdout, done.stderr[-3000:])
    assert 0
