// The package as an Android library, for a machine with the Android SDK, the NDK and Gradle. Reviewed, but
// NOT RUN by test.sh: what is tested is the Maven build of the same sources.
//
//   bindings/build.sh kotlin bindings/kotlin/target/generated
//   cargo ndk -t arm64-v8a -t armeabi-v7a -t x86_64 -o bindings/kotlin/jniLibs rustc --profile dist -p donp-ffi --lib --crate-type cdylib
//   gradle -p bindings/kotlin assembleRelease

plugins {
    id("com.android.library") version "8.13.0"
    id("org.jetbrains.kotlin.android") version "2.2.20"
}

group = "org.donp"
version = "0.1.0"

android {
    namespace = "org.donp"
    compileSdk = 36
    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }
    sourceSets["main"].apply {
        kotlin.srcDirs("src/main/kotlin", "target/generated")
        jniLibs.srcDirs("jniLibs")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin {
    compilerOptions {
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_17
    }
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.10.2")
    // The archive, not the jar: it has JNA's own libraries for Android.
    implementation("net.java.dev.jna:jna:5.19.1@aar")
}
