//! temporary
fn main() {
    let config = std::env::args().skip_while(|a| a != "--config").nth(1).expect("--config FILE");
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    rt.block_on(async {
        let r = weir::server::start(&weir::server::Options {
            config: config.into(),
            data_dir: None,
            ephemeral: true,
        })
        .await;
        match r {
            Err(e) => {
                eprintln!("{e}");
                std::process::exit(78)
            }
            Ok(r) => {
                eprintln!("{:?}", r.listeners());
                let mut s =
                    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("sig");
                s.recv().await;
                r.stop().await;
            }
        }
    });
}
