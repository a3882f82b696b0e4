//! Clips drawn by ffmpeg's own sources, for machines without network.

use rand::Rng;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Class, Clip, Picture, SEED};

const PER_CLASS: usize = 24;

/// parent, id, English, Chinese, source (`{n}` is a number that differs from clip to clip).
const CLASSES: &[(&str, &str, &str, &str, &str)] = &[
    ("bars", "smpte-bars", "SMPTE bars", "SMPTE 彩条", "smptebars=s=320x240:r=12"),
    ("bars", "hd-bars", "HD bars", "高清彩条", "smptehdbars=s=320x240:r=12"),
    ("bars", "pal-bars", "PAL bars", "PAL 彩条", "pal75bars=s=320x240:r=12"),
    ("charts", "counter", "counter chart", "计数测试图", "testsrc=s=320x240:r=12"),
    ("charts", "moving-chart", "moving chart", "动态测试图", "testsrc2=s=320x240:r=12"),
    ("charts", "rgb-stripes", "RGB stripes", "三原色条纹", "rgbtestsrc=s=320x240:r=12"),
    (
        "fractals",
        "mandelbrot",
        "Mandelbrot set",
        "曼德博集合",
        "mandelbrot=s=320x240:r=12:start_scale=0.{n}:end_scale=0.01:start_x=-0.74{n}:start_y=-0.13",
    ),
    ("fractals", "sierpinski", "Sierpinski carpet", "谢尔宾斯基地毯", "sierpinski=s=320x240:r=12:seed={n}"),
    (
        "automata",
        "life",
        "game of life",
        "生命游戏",
        "life=s=80x60:r=12:seed={n}:mold=10:ratio=0.3,scale=320:240",
    ),
    (
        "automata",
        "cellular",
        "cellular automaton",
        "元胞自动机",
        "cellauto=s=160x120:r=12:rule={n}:seed={n},scale=320:240",
    ),
    ("colours", "gradients", "colour gradients", "颜色渐变", "gradients=s=320x240:r=12:seed={n}"),
    ("colours", "noise", "film noise", "胶片噪点", "color=c=gray:s=320x240:r=12,noise=alls={n}:allf=t"),
];

pub(super) fn clips() -> (Vec<Class>, Vec<Clip>) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let classes: Vec<Class> = CLASSES
        .iter()
        .map(|&(parent, id, en, zh, _)| Class {
            id: id.into(),
            parent: parent.into(),
            name_en: en.into(),
            name_zh: zh.into(),
        })
        .collect();
    let mut clips = Vec::new();
    for (class, &(_, id, en, zh, source)) in CLASSES.iter().enumerate() {
        for i in 0..PER_CLASS {
            let n = rng.gen_range(11..99);
            let hue = rng.gen_range(-40..40);
            let zoom = rng.gen_range(100..150);
            clips.push(Clip {
                id: format!("{id}-{i:02}"),
                class,
                title: match rng.gen_range(0..3) {
                    0 => String::new(),
                    1 => format!("{en} no. {n}"),
                    _ => format!("{zh}第{n}期"),
                },
                picture: Picture::Source(format!(
                    "{},hue=h={hue},scale=iw*{zoom}/100:-2,crop=320:240",
                    source.replace("{n}", &n.to_string())
                )),
                seconds: f64::from(rng.gen_range(30..60)) / 10.0,
            });
        }
    }
    (classes, clips)
}
