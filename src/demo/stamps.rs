//! The `tuxpaint-stamps-default` pictures as a two-level dataset: folders are categories, each
//! picture's text file holds its name in many languages.

use std::path::{Path, PathBuf};

use rand::Rng;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Class, Clip, DemoError, Picture, SEED};

/// Smallest class that is kept: fewer cannot be told from noise with five folds.
const LEAST: usize = 6;
/// Largest number of clips taken from one folder (the alphabets would drown the rest).
const MOST: usize = 70;

/// folder, English, Chinese; the folder's first part is the parent.
const FOLDERS: &[(&str, &str, &str)] = &[
    ("animals/birds", "Birds", "鸟类"),
    ("animals/fish", "Fish", "鱼类"),
    ("animals/insects", "Insects", "昆虫"),
    ("animals/mammals", "Mammals", "哺乳动物"),
    ("food/fruit", "Fruit", "水果"),
    ("food/vegetables", "Vegetables", "蔬菜"),
    ("hobbies/music", "Instruments", "乐器"),
    ("household/dishes", "Dishes", "餐具"),
    ("household/tools", "Tools", "工具"),
    ("plants/flowers", "Flowers", "花卉"),
    ("plants/trees", "Trees", "树木"),
    ("seasonal/christmas", "Christmas", "圣诞节"),
    ("seasonal/easter", "Easter", "复活节"),
    ("seasonal/halloween", "Halloween", "万圣节"),
    ("seasonal/hanukkah", "Hanukkah", "光明节"),
    ("space/planets", "Planets", "行星"),
    ("symbols/alphabets", "Letters", "字母"),
    ("symbols/chess", "Chess", "国际象棋"),
    ("symbols/math", "Mathematics", "数学符号"),
    ("symbols/money", "Money", "货币"),
    ("symbols/music", "Notation", "音乐符号"),
    ("town/houses", "Houses", "房屋"),
    ("town/monuments", "Monuments", "古迹"),
    ("town/roadsigns", "Road signs", "路标"),
    ("vehicles/locomotive", "Locomotives", "机车"),
];

const PARENTS: &[(&str, &str, &str)] = &[
    ("animals", "Animals", "动物"),
    ("food", "Food", "食物"),
    ("hobbies", "Hobbies", "爱好"),
    ("household", "Household", "家居"),
    ("plants", "Plants", "植物"),
    ("seasonal", "Seasonal", "节日"),
    ("space", "Space", "太空"),
    ("symbols", "Symbols", "符号"),
    ("town", "Town", "城镇"),
    ("vehicles", "Vehicles", "交通工具"),
    ("bars", "Colour bars", "彩条"),
    ("charts", "Test charts", "测试图"),
    ("fractals", "Fractals", "分形"),
    ("automata", "Automata", "自动机"),
    ("colours", "Colours", "色彩"),
];

/// English and Chinese name of a level-1 node.
pub(super) fn parent_names(id: &str) -> (&str, &str) {
    PARENTS.iter().find(|p| p.0 == id).map_or((id, id), |p| (p.1, p.2))
}

/// Classes and clips under `root` (the folder that holds `animals`, `food`, …).
pub(super) fn read(root: &Path) -> Result<(Vec<Class>, Vec<Clip>), DemoError> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let (mut classes, mut clips) = (Vec::new(), Vec::new());
    for &(folder, en, zh) in FOLDERS {
        let mut pictures = Vec::new();
        collect(&root.join(folder), &mut pictures)?;
        pictures.sort();
        if pictures.len() > MOST {
            // evenly spread, so that every sub-folder is there
            pictures = (0..MOST).map(|i| pictures[i * pictures.len() / MOST].clone()).collect();
        }
        if pictures.len() < LEAST {
            continue;
        }
        let (parent, leaf) = folder.split_once('/').unwrap_or((folder, folder));
        let class = classes.len();
        classes.push(Class {
            id: format!("{parent}-{leaf}"),
            parent: parent.to_owned(),
            name_en: en.to_owned(),
            name_zh: zh.to_owned(),
        });
        for path in pictures {
            let names = names(&path);
            let slug: String = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .with_extension("")
                .to_string_lossy()
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
                .collect();
            let title = match (rng.gen_range(0..10), names) {
                (0, _) | (_, None) => String::new(),
                (1..=4, Some((en, _))) => en,
                (5..=7, Some((en, zh))) => zh.unwrap_or(en),
                (_, Some((en, Some(zh)))) => format!("{zh} {en}"),
                (_, Some((en, None))) => en,
            };
            clips.push(Clip {
                id: slug,
                class,
                title,
                picture: Picture::File(path),
                seconds: f64::from(rng.gen_range(30..60)) / 10.0,
            });
        }
    }
    Ok((classes, clips))
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(e) => e,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "png")
            && !path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("_mirror"))
        {
            out.push(path);
        }
    }
    Ok(())
}

/// English and Chinese name out of the text file beside the picture: first line, `zh_cn.utf8=…`.
fn names(picture: &Path) -> Option<(String, Option<String>)> {
    let text = std::fs::read(picture.with_extension("txt")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let en = text.lines().next()?.trim().to_owned();
    let zh = text
        .lines()
        .find_map(|l| {
            let (key, value) = l.split_once('=')?;
            key.eq_ignore_ascii_case("zh_cn.utf8").then(|| value.trim().to_owned())
        })
        .filter(|z| !z.is_empty());
    (!en.is_empty()).then_some((en, zh))
}
