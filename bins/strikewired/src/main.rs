//! The Strikewire server. See `strikewired --help`.

use std::process::ExitCode;

use clap::Parser;
use strikewired::{Args, Config, Hangups, Recorder, Server, logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strikewired: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::load(args)?;
    if args.print_config {
        print!("{}", config.to_toml()?);
        return Ok(());
    }
    logging::init(&config)?;
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let recorder = Recorder::install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(config.workers())
        .build()?;
    let done = runtime.block_on(async {
        let hangups = Hangups::catch()?;
        tokio::spawn(recorder.clone().keep());
        let server = Server::start(config, move || recorder.render()).await?;
        tokio::spawn(hangups.reload(server.control()));
        eprint!("{}", server.banner());
        server.run_until(strikewired::interrupted()).await
    });
    // What has not ended in time is not waited for.
    runtime.shutdown_background();
    done
}
