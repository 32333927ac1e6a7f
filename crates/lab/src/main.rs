//! The command `lab`: makes guests, and says which there are.

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::{RECIPES, Recipe};
use std::io::Write;
use std::path::PathBuf;

/// Makes real guests for tests and certification.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the guests that can be made.
    List,
    /// Make a guest and print the paths of its files.
    Make {
        /// Its name, as `list` prints it.
        name: String,
        /// Put the files into this directory; without it they are only in the cache.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match Arguments::parse().command {
        Command::List => {
            for recipe in RECIPES {
                writeln!(
                    stdout,
                    "{:<24} Debian {}, {}, {}, {}, {}, from {}",
                    recipe.name,
                    recipe.suite.version(),
                    recipe.layout.name(),
                    recipe.initramfs.name(),
                    recipe.firmware.name(),
                    recipe.network.name(),
                    recipe.origin.profile(),
                )?;
            }
        }
        Command::Make { name, output } => {
            let recipe = Recipe::named(&name)?;
            let files = match output {
                Some(directory) => lab::deliver(recipe, &directory)?,
                None => lab::guest(recipe)?,
            };
            for path in files.all() {
                writeln!(stdout, "{}", path.display())?;
            }
        }
    }
    Ok(())
}
